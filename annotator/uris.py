"""Names of inputs: local paths and file:// URIs, and what is refused. For object stores see `locations`."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

from annotator.errors import UserError
from annotator.locations import redacted

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_FILE = "file://"


def to_path(text: str, where: str) -> str:
    """A local path from what a user wrote: a path as it stands, or the path of a file:// URI.

    Args:
        text: path or URI; bytes that are not UTF-8 as surrogate escapes.
        where: what to call the place it was found in, for the message.

    Raises:
        UserError: any other scheme, or a file:// URI of another host.
    """
    scheme = _SCHEME.match(text)
    if scheme is None:
        return text
    if scheme[1].lower() != "file":
        raise UserError(
            f"{where}: {redacted(text)} cannot be read here: local paths, file:// URIs and, for inputs, "
            "s3://, gs:// and az:// can; download, copy or mount the data and name it by its path"
        )
    host = urlsplit(text).netloc
    if host not in ("", "localhost"):
        raise UserError(f"{where}: {text} is on the host {host!r}; file:///path names a file of this machine")
    return os.fsdecode(unquote_to_bytes(text[len(_FILE) + len(host) :]))


def is_path(text: str) -> bool:
    """Whether a text is an absolute path or a URI, not a name to be looked up in some folder."""
    return text.startswith("/") or _SCHEME.match(text) is not None


def local_path(uri: str) -> str:
    """The path to open for `Item.uri`: the inverse of `to_uri`."""
    if uri.startswith(_FILE):
        return os.fsdecode(unquote_to_bytes(uri[len(_FILE) :]))
    return uri


def is_text(path: str) -> bool:
    """Whether a path is valid Unicode, so that it can be stored as it is."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_uri(path: str) -> str:
    """An absolute path as it is, or percent-encoded as a file:// URI when it is not valid Unicode."""
    return path if is_text(path) else _FILE + quote(os.fsencode(path))


def frame_mark(number: int) -> str:
    """What follows the URI or name of a video in those of its frame `number`."""
    return f"#{number:08d}"
