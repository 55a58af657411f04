"""Inputs in columns while a plan is built: millions of rows, each once, with its id and file name."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from pyarrow.compute import call_function

from annotator.errors import UserError
from annotator.uris import is_text, to_uri

BLOCK_ROWS = 65_536


def image_id_of(uri: str) -> int:
    """The 53-bit image id of an input without one: top bits of the sha256 of its URI; exact in JavaScript."""
    return int.from_bytes(hashlib.sha256(uri.encode()).digest()[:8], "big") >> 11


@dataclass(slots=True)
class _Root:
    """What rows have in common.

    Attributes:
        base: put before a path to make its URI; "" where rows hold whole URIs.
        label: absolute folder that file names are relative to; its name tells equal file names apart.
        prefix: put before file names; "" unless they would clash with another root's.
        cut: characters cut off the front of a whole URI to make its file name.
    """

    base: str
    label: str
    prefix: str = ""
    cut: int = 0


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows in order; roots: (N,) int32, keys: (N,) uint64 of the URIs, ids: (N,) int64, given: (N,) bool."""

    roots: np.ndarray
    paths: pa.Array
    names: pa.Array | None
    keys: np.ndarray
    ids: np.ndarray
    given: np.ndarray

    def keep(self, mask: np.ndarray) -> _Block:
        arrow = pa.array(mask)
        return _Block(
            self.roots[mask],
            self.paths.filter(arrow),
            None if self.names is None else self.names.filter(arrow),
            self.keys[mask],
            self.ids[mask],
            self.given[mask],
        )


class Listing:
    """Takes inputs in the order of the plan; `finish` makes them unique.

    Memory: about the bytes of the relative paths and 30 more for each input.
    """

    def __init__(self) -> None:
        self._roots: list[_Root] = []
        self._root_numbers: dict[tuple[str, str], int] = {}
        self._blocks: list[_Block] = []
        self._pending: list[tuple[int, str, str | None, int | None]] = []
        self.duplicates = 0

    def __len__(self) -> int:
        return self._starts[-1] if not self._pending else sum(map(_rows, self._blocks)) + len(self._pending)

    def folder(self, folder: str) -> int:
        """Number of the root for files named relative to an absolute folder."""
        return self._root(("folder", folder), _Root(folder.rstrip("/") + "/", folder))

    def scattered(self, source: str) -> int:
        """Number of the root for files that `source` names by absolute paths.

        They are shown relative to the folder that all of them have in common.
        """
        return self._root(("scattered", source), _Root("", ""))

    def _root(self, key: tuple[str, str], root: _Root) -> int:
        number = self._root_numbers.setdefault(key, len(self._roots))
        if number == len(self._roots):
            self._roots.append(root)
        return number

    def add(self, root: int, path: str, image_id: int | None = None) -> None:
        """Append one input.

        Args:
            root: from `folder` or `scattered`.
            path: normalised; relative for a folder, absolute for a scattered root.
            image_id: given with the input.
        """
        home, name = self._roots[root], None
        if not home.base:
            _widen(home, path)
        if not (home.base.isascii() and path.isascii()) and not is_text(home.base + path):
            # Bytes that are not UTF-8 cannot be stored as text: the URI spells them out.
            name = path[home.cut :]
            # Spelled out names have a root of their own: another file may have such a name already.
            kind, name = ("folder", name) if is_text(name) else ("name", quote(os.fsencode(name)))
            root = self._root((f"odd {kind}", home.label), _Root("", home.label))
            path = to_uri(home.base + path)
        self._pending.append((root, path, name, image_id))
        if len(self._pending) == BLOCK_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        roots, paths, names, ids = zip(*self._pending, strict=True)
        self._pending = []
        seeds = {root: hashlib.sha256(self._roots[root].base.encode()) for root in set(roots)}
        digests = []
        for root, path in zip(roots, paths, strict=True):
            digest = seeds[root].copy()
            digest.update(path.encode())
            digests.append(digest.digest()[:8])
        keys = np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)
        given = np.array([value is not None for value in ids], bool)
        image_ids = (keys >> np.uint64(11)).astype(np.int64)
        if given.any():
            image_ids[given] = [value for value in ids if value is not None]
        shown = pa.array(names, pa.string()) if any(name is not None for name in names) else None
        self._blocks.append(
            _Block(np.array(roots, np.int32), pa.array(paths, pa.string()), shown, keys, image_ids, given)
        )
        self.__dict__.pop("_starts", None)

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate(map(_rows, self._blocks), initial=0))

    def _column(self, name: str) -> np.ndarray:
        parts = [getattr(block, name) for block in self._blocks]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    # Unique URIs, ids and names.

    def settle(self) -> int:
        """Drop inputs that were named before and return how many are left; more may be added afterwards."""
        self._flush()
        dropped = self._repeated()
        if len(dropped):
            self.duplicates += len(dropped)
            mask = np.ones(len(self), bool)
            mask[dropped] = False
            self._keep(mask)
        return len(self)

    def finish(self, limit: int | None = None) -> None:
        """Settle, cut to `limit` rows, and make image ids and file names unique.

        Raises:
            UserError: two different files came with one image id.
        """
        if self.settle() > (limit or len(self)):
            self._keep(np.arange(len(self)) < (limit or 0))
        self._make_ids_unique()
        self._make_names_unique()

    def _keep(self, mask: np.ndarray) -> None:
        starts = self._starts
        kept = [
            block.keep(mask[start : start + _rows(block)])
            for block, start in zip(self._blocks, starts, strict=False)
        ]
        self._blocks = [block for block in kept if _rows(block)]
        self.__dict__.pop("_starts", None)

    def _repeated(self) -> list[int]:
        dropped = []
        for rows in _equal(self._column("keys")):
            seen = set()
            for row in rows:
                uri = self.uri(row)
                if uri in seen:
                    dropped.append(row)
                seen.add(uri)
        return dropped

    def _make_ids_unique(self) -> None:
        ids, given = self._column("ids"), self._column("given")
        clashes = _equal(ids)
        if not clashes:
            return
        taken = set(ids.tolist())
        for rows in clashes:
            named = [row for row in rows if given[row]]
            if len(named) > 1:
                raise UserError(
                    f"two different files have the image id {ids[rows[0]]}: {self.uri(named[0])} and "
                    f"{self.uri(named[1])}; ids must be unique in a run (annotate the two inputs in separate "
                    f"runs)"
                )
            for row in [row for row in rows if not given[row]][0 if named else 1 :]:
                attempt = 1
                while (candidate := image_id_of(f"{self.uri(row)}\0{attempt}")) in taken:
                    attempt += 1
                taken.add(candidate)
                place = bisect_right(self._starts, row) - 1
                self._blocks[place].ids[row - self._starts[place]] = candidate

    def _make_names_unique(self) -> None:
        clashing: set[int] = set()
        depth = 0
        while len(self._roots) > 1:
            roots = self._column("roots")
            names = np.concatenate([_hashes(self._names(block)) for block in self._blocks])
            new = {int(root) for rows in _equal(names) for root in roots[rows]}
            if not new:
                return
            clashing |= new
            depth += 1
            for number in clashing:
                parts = [part for part in self._roots[number].label.split("/") if part]
                shown = parts[-depth:] if depth <= len(parts) else [*parts, f"~{number}"]
                prefix = "/".join(shown) + "/"
                self._roots[number].prefix = prefix if is_text(prefix) else quote(os.fsencode(prefix))

    # Reading.

    def uri(self, row: int) -> str:
        """The URI of one row."""
        place = bisect_right(self._starts, row) - 1
        block, row = self._blocks[place], row - self._starts[place]
        return self._roots[block.roots[row]].base + block.paths[row].as_py()

    def _uris(self, block: _Block) -> pa.Array:
        # No row is left under a base that is not text: see `add`.
        bases = [root.base if is_text(root.base) else None for root in self._roots]
        return _joined(pa.array(bases, pa.string()).take(pa.array(block.roots)), block.paths)

    def _names(self, block: _Block) -> pa.Array:
        names = block.paths
        cuts = np.array([root.cut for root in self._roots])[block.roots]
        if cuts.any():
            whole = zip(names.to_pylist(), cuts.tolist(), strict=True)
            names = pa.array([path[cut:] for path, cut in whole], pa.string())
        if block.names is not None:
            pairs = zip(block.names.to_pylist(), names.to_pylist(), strict=True)
            names = pa.array([path if name is None else name for name, path in pairs], pa.string())
        prefixes = [root.prefix for root in self._roots]
        if any(prefixes):
            names = _joined(pa.array(prefixes, pa.string()).take(pa.array(block.roots)), names)
        return names

    def rows(self, start: int, stop: int) -> pa.Table:
        """Columns uri, file_name and image_id of some rows."""
        parts = []
        for place in range(max(0, bisect_right(self._starts, start) - 1), len(self._blocks)):
            block, first = self._blocks[place], self._starts[place]
            if first >= stop:
                break
            low, high = max(start - first, 0), min(stop - first, _rows(block))
            part = _Block(
                block.roots[low:high],
                block.paths[low:high],
                None if block.names is None else block.names[low:high],
                block.keys[low:high],
                block.ids[low:high],
                block.given[low:high],
            )
            parts.append(pa.table([self._uris(part), self._names(part), pa.array(part.ids)], _COLUMNS))
        return pa.concat_tables(parts) if parts else pa.table([[], [], []], schema=_EMPTY)

    @property
    def given(self) -> np.ndarray:
        """(N,) bool: the image id came with the input."""
        return self._column("given").astype(bool)

    @property
    def image_ids(self) -> np.ndarray:
        """(N,) int64."""
        return self._column("ids")


def _widen(root: _Root, path: str) -> None:
    """Make the folder of a scattered root one that holds `path`, too."""
    if not root.label or not path.startswith(root.label.rstrip("/") + "/"):
        folder = os.path.dirname(path)
        root.label = os.path.commonpath([root.label, folder]) if root.label else folder
        root.cut = len(root.label.rstrip("/")) + 1


_COLUMNS = ["uri", "file_name", "image_id"]
_EMPTY = pa.schema([("uri", pa.string()), ("file_name", pa.string()), ("image_id", pa.int64())])


def _rows(block: _Block) -> int:
    return len(block.roots)


def _joined(first: pa.Array, second: pa.Array) -> pa.Array:
    """Texts put together, row by row."""
    return call_function("binary_join_element_wise", [first, second, pa.scalar("", pa.string())])


def _hashes(names: pa.Array) -> np.ndarray:
    return np.fromiter(map(hash, names.to_pylist()), np.int64, len(names))


def _equal(values: np.ndarray) -> list[np.ndarray]:
    """Places of equal values, ascending, one array for each value that occurs more than once."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    if not len(same):
        return []
    groups, ends = [], np.append(np.flatnonzero(np.diff(same) > 1), len(same) - 1)
    begin = 0
    for end in ends:
        groups.append(order[same[begin] : same[end] + 2])
        begin = end + 1
    return groups
