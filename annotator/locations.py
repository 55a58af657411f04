"""Names of places: folders of this machine and prefixes in object stores, never with secrets in them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from annotator.errors import UserError

# Schemes of object stores, as obstore knows them.
SCHEMES = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss")

_URL = re.compile(rf"^({'|'.join(SCHEMES)})://", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY = re.compile(r"\?[^\s'\"<>]*=[^\s'\"<>]*")
_SECRET_QUERY = re.compile(r"[?&](x-(amz|goog)-|sig=|signature=|awsaccesskeyid=|token=|se=)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Location:
    """A key, or the prefix of keys, in an object store.

    Attributes:
        bucket: URL of the bucket or container, without a slash at its end, such as "s3://bucket".
        key: without slashes around it; "" for the whole bucket.
    """

    bucket: str
    key: str

    @property
    def url(self) -> str:
        """The whole name."""
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    def below(self, name: str) -> Location:
        """A key under this one."""
        return Location(self.bucket, f"{self.key}/{name}" if self.key else name)


def is_remote(place: str | Path) -> bool:
    """Whether this names a place in an object store, not on this machine."""
    return isinstance(place, str) and _URL.match(place) is not None


def location(url: str, where: str = "") -> Location:
    """Take the name of a place in an object store apart.

    Args:
        url: for which `is_remote` holds.
        where: what to call it in messages.

    Raises:
        UserError: it names no bucket, or holds credentials; these are not repeated.
    """
    said = f"{where}: " if where else ""
    scheme, _, rest = url.partition("://")
    host, _, key = rest.partition("/")
    user, at, _ = host.rpartition("@")
    # abfs://container@account... is how Azure writes a container.
    if at and (":" in user or not scheme.lower().startswith("abfs")):
        raise UserError(
            f"{said}{redacted(url)} has credentials in it, which would end up in logs and rows; leave "
            "them out and set them in the environment (docs/storage.md)"
        )
    if _SECRET_QUERY.search(key):
        raise UserError(
            f"{said}{redacted(url)} is a signed address, which would end up in logs and rows; name the "
            "object by its plain key and set credentials in the environment (docs/storage.md)"
        )
    if not host:
        raise UserError(f"{said}{url} names no bucket; expected {scheme}://bucket/path")
    return Location(f"{scheme.lower()}://{host}", key.strip("/"))


def absolute(place: str | Path) -> str:
    """A place by a name that is good anywhere: an absolute path, or the URL in its one spelling.

    Raises:
        UserError: as `location`.
    """
    return location(str(place)).url if is_remote(place) else os.path.abspath(place)  # noqa: PTH100 - links stay


def redacted(text: str) -> str:
    """A text without the user parts and queries of its URLs, where secrets are."""
    return _QUERY.sub("?...", _USER.sub("...@", text))
