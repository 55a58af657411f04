"""Inputs in object stores: what is below a prefix, what matches a pattern, and lists to be fetched first."""

from __future__ import annotations

import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotator.errors import RunFailed, UserError
from annotator.locations import Location, location
from annotator.sources.folders import HEAD_BYTES, is_input, is_pattern, matches, suffix
from annotator.sources.notes import Notes


def is_object(place: Location) -> bool:
    """Whether this names one object, rather than a prefix of others.

    Raises:
        UserError: the store cannot be asked.
    """
    from annotator.store.objects import size_of

    if not place.key:
        return False
    with _readable(place):
        try:
            size_of(place)
        except FileNotFoundError:
            return False
    return True


def walk_prefix(place: Location, notes: Notes) -> Iterator[str]:
    """Pictures and videos below a prefix, as keys relative to it; others and hidden names are counted."""
    for name in _names(place):
        if _is_hidden(name):
            notes.skip("hidden")
        elif is_input_object(place, name):
            yield name
        else:
            notes.skip(suffix(name) or "without suffix")


def is_input_object(place: Location, name: str) -> bool:
    """Whether the object with this key relative to `place` is a picture or a video, as files are."""
    from annotator.store.objects import read_start

    return is_input(name, lambda key: read_start(place.below(key), HEAD_BYTES))


def split_key(place: Location) -> tuple[Location, str]:
    """The prefix in front of the first part of a pattern that has a sign in it, and the rest."""
    parts = place.key.split("/")
    first = next(number for number, part in enumerate(parts) if is_pattern(part))
    return Location(place.bucket, "/".join(parts[:first])), "/".join(parts[first:])


def expand_key(folder: Location, pattern: str) -> Iterator[str]:
    """Keys below `folder`, relative to it, that match a pattern; `**` stands for any number of folders."""
    parts = pattern.split("/")
    for name in _names(folder):
        if not _is_hidden(name) and matches(name.split("/"), parts):
            yield name


def key_below(folder: str, text: str) -> Location:
    """The object that a list in `folder`, or with it as its root, names by a relative key."""
    place = location(folder)
    return Location(place.bucket, posixpath.normpath(f"/{place.key}/{text}").lstrip("/"))


@contextmanager
def fetched(place: Location) -> Iterator[str]:
    """A list, manifest or COCO file as a temporary file of the same name.

    Raises:
        UserError: it cannot be read.
    """
    from annotator.store.objects import pieces

    folder = tempfile.mkdtemp(prefix="annotator-list-")
    try:
        path = Path(folder) / posixpath.basename(place.key)
        with _readable(place), path.open("wb") as file:
            file.writelines(pieces(place))
        yield str(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _names(place: Location) -> Iterator[str]:
    from annotator.store.objects import list_objects

    before = ""
    with _readable(place):
        for name, _ in list_objects(place):
            if name < before:
                raise RunFailed(
                    f"{place.url} is listed in no order, so the same plan could not be made twice; "
                    "name the inputs in a .txt list or a manifest"
                )
            before = name
            yield name


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or "/." in name


@contextmanager
def _readable(place: Location) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot read {place.url}: {error.strerror} (docs/storage.md)") from None
