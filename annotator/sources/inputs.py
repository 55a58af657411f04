"""INPUT arguments, expanded: folders, globs, files, lists, COCO files, manifests, in the order given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from annotator.errors import UserError
from annotator.locations import Location, absolute, is_remote, location
from annotator.sources.buckets import (
    expand_key,
    fetched,
    is_input_object,
    is_object,
    key_below,
    split_key,
    walk_prefix,
)
from annotator.sources.coco_input import coco_images
from annotator.sources.folders import (
    INPUT_SUFFIXES,
    expand_pattern,
    is_input,
    is_pattern,
    split_pattern,
    suffix,
    walk,
)
from annotator.sources.listing import Listing
from annotator.sources.manifests import MANIFEST_SUFFIXES, manifest_rows
from annotator.sources.notes import Notes
from annotator.uris import is_path, to_path

ACCEPTED = (
    "a folder, a glob pattern in quotes, a picture, a video, a .txt list, a COCO .json, or a .csv, .tsv, "
    ".jsonl or .parquet manifest"
)

LIST_SUFFIXES = MANIFEST_SUFFIXES | {".txt", ".json"}

_SUFFIXES = " ".join(sorted(INPUT_SUFFIXES))

# (text, place for messages, image id or None) of an input that a file names.
Entry = tuple[str, str, int | None]


def list_inputs(inputs: Sequence[str], *, image_root: str | None, limit: int | None, notes: Notes) -> Listing:
    """Expand INPUT arguments into a finished listing.

    Args:
        image_root: folder that relative names in COCO files, lists and manifests start from.
        limit: stop after this many inputs.

    Raises:
        UserError: an argument that does not exist, holds nothing, or cannot be understood; the message names
            it.
    """
    if not inputs:
        raise UserError(f"no INPUT given; expected {ACCEPTED}")
    if image_root is not None:
        image_root = absolute(image_root if is_remote(image_root) else to_path(image_root, "--image-root"))
        if not is_remote(image_root) and not os.path.isdir(image_root):
            raise UserError(f"--image-root {image_root} is not a folder")
    listing = Listing()
    for text in inputs:
        for _ in _expand(text, image_root, listing, notes):
            if limit is not None and len(listing) >= limit and listing.settle() >= limit:
                listing.finish(limit)
                return listing
    listing.finish(limit)
    return listing


def _expand(text: str, image_root: str | None, listing: Listing, notes: Notes) -> Iterator[None]:
    """Add what one argument stands for; yields now and then, so that the caller can stop it."""
    if is_remote(text):
        yield from _remote(location(text, "INPUT"), image_root, listing, notes)
        return
    path = os.path.abspath(to_path(text, "INPUT")) if text else ""
    if os.path.isdir(path):
        yield from _folder(text, path, listing, notes)
    elif os.path.lexists(path):
        yield from _file(path, image_root, listing)
    elif is_pattern(text):
        yield from _pattern(text, path, image_root, listing, notes)
    else:
        raise UserError(f"INPUT {text!r} does not exist; expected {ACCEPTED}")


def _folder(text: str, path: str, listing: Listing, notes: Notes) -> Iterator[None]:
    skipped = Notes()
    root, count = listing.folder(path), 0
    for count, name in enumerate(walk(path, notes=_Both(notes, skipped)), 1):
        listing.add(root, name)
        if count % 4096 == 0:
            yield
    if not count:
        found = f" (found {skipped.skipped})" if skipped.skipped else ""
        raise UserError(f"no picture or video in the folder {text}{found}; accepted suffixes: {_SUFFIXES}")
    yield


class _Both(Notes):
    """Notes of one folder that also go to the notes of the plan."""

    def __init__(self, plan: Notes, folder: Notes) -> None:
        self._plan, self._folder = plan, folder

    def say(self, line: str) -> None:
        self._plan.say(line)

    def skip(self, kind: str, count: int = 1) -> None:
        self._plan.skip(kind, count)
        self._folder.skip(kind, count)


def _file(path: str, image_root: str | None, listing: Listing, home: str | None = None) -> Iterator[None]:
    """Add a file, or what it names; `home` is the folder that it was fetched from."""
    kind = suffix(path)
    folder = image_root or home or os.path.dirname(path)
    if kind == ".txt":
        yield from _named(path, _text_list(path), folder, listing)
    elif kind == ".json":
        folder, images = coco_images(path, image_root or home)
        yield from _named(path, images, folder, listing)
    elif kind in MANIFEST_SUFFIXES:
        yield from _named(path, manifest_rows(path, kind), folder, listing)
    else:
        listing.add(listing.folder(os.path.dirname(path)), os.path.basename(path))
        yield


def _remote(place: Location, image_root: str | None, listing: Listing, notes: Notes) -> Iterator[None]:
    """Add an object, or what it names, or everything below a prefix or that matches a pattern."""
    if "*" not in place.key and is_object(place):
        yield from _object(place, image_root, listing)
        return
    skipped, before = Notes(), len(listing)
    if is_pattern(place.key):
        folder, pattern = split_key(place)
        spelled = suffix(pattern) != "" and not is_pattern(suffix(pattern))
        for name in expand_key(folder, pattern):
            if spelled and suffix(name) in LIST_SUFFIXES:
                yield from _object(folder.below(name), image_root, listing)
            elif spelled or is_input_object(folder, name):
                listing.add(listing.folder(folder.url), name)
            else:
                notes.skip(suffix(name) or "without suffix")
            yield
    else:
        root = listing.folder(place.url)
        for count, name in enumerate(walk_prefix(place, _Both(notes, skipped)), 1):
            listing.add(root, name)
            if count % 4096 == 0:
                yield
    if len(listing) == before:
        found = f" (found {skipped.skipped})" if skipped.skipped else ""
        raise UserError(f"no picture or video at {place.url}{found}; accepted suffixes: {_SUFFIXES}")
    yield


def _object(place: Location, image_root: str | None, listing: Listing) -> Iterator[None]:
    """Add one object, or what it names when it is a list."""
    folder, _, name = place.url.rpartition("/")
    if suffix(name) in LIST_SUFFIXES:
        with fetched(place) as path:
            yield from _file(path, image_root, listing, home=folder)
    else:
        listing.add(listing.folder(folder), name)
        yield


def _pattern(text: str, path: str, image_root: str | None, listing: Listing, notes: Notes) -> Iterator[None]:
    folder, pattern = split_pattern(path)
    root, found, before = listing.folder(folder), False, len(listing)
    # A pattern that spells a suffix means what it says; under a bare `*` only pictures and videos are meant.
    spelled = suffix(pattern) != "" and not is_pattern(suffix(pattern))
    for name, is_folder in expand_pattern(folder, pattern, notes):
        found = True
        full = os.path.join(folder, name)
        if is_folder:
            for below in walk(full, notes):
                listing.add(root, f"{name}/{below}")
        elif spelled and suffix(name) in LIST_SUFFIXES:
            yield from _file(full, image_root, listing)
        elif spelled or is_input(full):
            listing.add(root, name)
        else:
            notes.skip(suffix(name) or "without suffix")
        yield
    if not found:
        raise UserError(f"nothing matches the pattern {text!r}; a pattern is seen from {os.getcwd()}")
    if len(listing) == before:
        raise UserError(f"the pattern {text!r} matches no picture or video; accepted suffixes: {_SUFFIXES}")


def _text_list(path: str) -> Iterator[Entry]:
    """Lines of a list, one path each; blanks around it, empty lines and # comments are ignored."""
    count = 0
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                text = os.fsdecode(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
                if text and not text.startswith("#"):
                    count += 1
                    yield text, f"{path}: line {number}", None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if not count:
        raise UserError(f"the list {path} names nothing; expected one path a line")


def _named(source: str, entries: Iterable[Entry], folder: str, listing: Listing) -> Iterator[None]:
    """Add the files that `source`, a list, manifest or COCO file, names; relative names start from `folder`.

    Names that lead out of `folder` are shown relative to the folder that all such names of the source have
    in common.
    """
    inside = folder.rstrip("/") + "/"
    root, elsewhere = listing.folder(folder), listing.scattered(source)
    for count, (text, where, image_id) in enumerate(entries, 1):
        if count % 4096 == 0:
            yield
        if is_remote(text) or (is_remote(folder) and not is_path(text)):
            place = location(text, where) if is_remote(text) else key_below(folder, text)
            if place.url.startswith(inside):
                listing.add(root, place.url[len(inside) :], image_id)
            else:
                listing.add(listing.folder(place.bucket), place.key, image_id)
            continue
        path = os.path.normpath(os.path.join(inside, to_path(text, where)))
        if "\0" in path:
            raise UserError(f"{where}: the path {path!r} holds a NUL character")
        if path.startswith(inside):
            listing.add(root, path[len(inside) :], image_id)
        else:
            listing.add(elsewhere, path, image_id)
    yield
