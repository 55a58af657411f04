"""Inputs that are found by looking: folders, recursively, and glob patterns."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterator

from annotator.errors import UserError
from annotator.sources.notes import Notes

_SUFFIXES = """
    .jpg .jpeg .jpe .jfif .mpo .png .bmp .dib .gif .webp .tif .tiff .heic .heif .hif .avif .jp2 .j2k
    .ppm .pgm .pbm .pnm
"""
IMAGE_SUFFIXES = frozenset(_SUFFIXES.split())
_FILMS = """.mp4 .m4v .mov .mkv .webm .avi .ts .mts .m2ts .mpg .mpeg .3gp .wmv .flv"""
VIDEO_SUFFIXES = frozenset(_FILMS.split())
INPUT_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES

# Of a .ts file, to tell film from text: five packets of a transport stream, which begin with the same byte.
# They stand alone, behind a time code or before parity.
HEAD_BYTES = 64 << 10
_PACKETS = re.compile(rb"(?s)G(?:.{187}G){4}|G(?:.{191}G){4}|G(?:.{203}G){4}")


def suffix(name: str) -> str:
    """The suffix in lower case with its dot, or ""; of a path or a name."""
    return os.path.splitext(name)[1].lower()


def walk(folder: str, notes: Notes, everything: bool = False) -> Iterator[str]:
    """Files below a folder, as paths relative to it, sorted name by name at each level.

    Hidden names are left out as a shell's `*` does, links to folders are followed unless they lead back to a
    folder that they are in. Whatever is left out is counted in `notes`.

    Args:
        everything: all files, not only pictures and videos.

    Raises:
        UserError: the folder itself cannot be listed.
    """
    try:
        top = _listing(folder)
        trail = [_identity(folder)]
    except OSError as error:
        raise UserError(f"cannot list the folder {folder}: {error.strerror}") from None
    # A stack of open levels rather than recursion: folders may be nested deeper than Python's stack.
    stack: list[tuple[str, Iterator[tuple[str, bool]]]] = [("", iter(top))]
    while stack:
        prefix, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            trail.pop()
            continue
        name, is_folder = entry
        path = prefix + name
        if name.startswith("."):
            notes.skip("hidden")
        elif is_folder:
            full = os.path.join(folder, path)
            try:
                identity = _identity(full)
                if identity in trail:
                    notes.say(f"{full} is a link back to a folder around it: not followed")
                    continue
                inside = _listing(full)
            except OSError as error:
                notes.say(f"the folder {full} was left out: {error.strerror}")
                continue
            trail.append(identity)
            stack.append((path + "/", iter(inside)))
        elif everything or is_input(os.path.join(folder, path)):
            yield path
        else:
            notes.skip(suffix(name) or "without suffix")


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEAD_BYTES)


def is_input(path: str, read_head: Callable[[str], bytes] = _head) -> bool:
    """Whether a file is a picture or a video, by its suffix; .ts must be a transport stream, not TypeScript.

    Args:
        read_head: gives the first `HEAD_BYTES` bytes of a .ts file. One that is empty, or cannot be read
            (OSError), counts as a video: the run says what is wrong with it.
    """
    if suffix(path) != ".ts":
        return suffix(path) in INPUT_SUFFIXES
    try:
        head = read_head(path)
    except OSError:
        return True
    return not head or _PACKETS.search(head) is not None


def _listing(folder: str) -> list[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        return sorted((entry.name, _is_folder(entry)) for entry in entries)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def is_pattern(text: str) -> bool:
    """Whether a path has the signs of a glob pattern."""
    return any(sign in text for sign in "*?[")


def split_pattern(pattern: str) -> tuple[str, str]:
    """The folder in front of the first part with a sign in it, absolute, and the rest of the pattern."""
    parts = os.path.abspath(pattern).split("/")
    first = next(place for place, part in enumerate(parts) if is_pattern(part))
    return "/".join(parts[:first]) or "/", "/".join(parts[first:])


def expand_pattern(folder: str, pattern: str, notes: Notes) -> Iterator[tuple[str, bool]]:
    """What matches a pattern below `folder`, sorted, as (path relative to it, is a folder).

    `**` stands for any number of folders; hidden names must be spelled with their dot.
    """
    if not os.path.isdir(folder):
        return
    head, _, rest = pattern.partition("/")
    if head == "**":
        if not rest:
            yield from ((path, False) for path in walk(folder, notes, everything=True))
            return
        parts = rest.split("/")
        for path in walk(folder, Notes(), everything=True):
            if matches(path.split("/"), ["**", *parts]):
                yield path, False
        return
    try:
        listing = _listing(folder)
    except OSError as error:
        notes.say(f"the folder {folder} was left out: {error.strerror}")
        return
    for name, is_folder in listing:
        if not fnmatch.fnmatchcase(name, head) or (name.startswith(".") and not head.startswith(".")):
            continue
        if not rest:
            yield name, is_folder
        elif is_folder:
            below = os.path.join(folder, name)
            for path, found_folder in expand_pattern(below, rest, notes):
                yield f"{name}/{path}", found_folder


def matches(parts: list[str], patterns: list[str]) -> bool:
    """Whether the parts of a path match those of a pattern, in which "**" stands for any number of parts."""
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(matches(parts[skip:], patterns[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], patterns[0]) and matches(parts[1:], patterns[1:])
