"""Weights from the network, once: downloaded with resume and retry, checked before anything reads them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from annotator.errors import UserError

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes present so far, and how many there will be (None: unknown)."""

_CHUNK = 1 << 18
# A new attempt is free of charge when the one before brought at least this much.
_ENOUGH = 1 << 20
# "-04af38ce_20220923.pth", "_a36c3ecf-20230207.pth", "_112414-78e30dcc.pth": a date is no hash.
_DATE = r"20[0-3]\d[01]\d[0-3]\d"
_GIVEN_HASH = re.compile(rf"[-_](?!{_DATE}\.)([0-9a-f]{{7,8}})(?:[-_]{_DATE})?(?:_\d{{6}})?\.[a-z]+$")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: in a row that bring nothing worth keeping.
        connect_seconds: until a connection stands.
        stall_seconds: without a single byte, until the connection is given up.
        pause_seconds: before the second attempt; doubled before each further one, to at most 30.
    """

    attempts: int = 5
    connect_seconds: float = 15.0
    stall_seconds: float = 30.0
    pause_seconds: float = 1.0


class MissingWeightsError(UserError):
    """Weights are neither at hand nor to be had; `files` lists (name, address) of each."""

    def __init__(self, files: Iterable[tuple[str, str]], folder: str, reason: str) -> None:
        self.files, self.folder, self.reason = tuple(files), folder, reason
        listing = "\n".join(f"  {name}  from  {address}" for name, address in self.files)
        super().__init__(
            f"weights are not at hand and could not be downloaded ({reason}). "
            f"On a machine with access, fetch\n{listing}\n"
            f"and put them into {folder} (or a folder named by --weights-dir), names unchanged"
        )

    def __reduce__(self):
        return (type(self), (self.files, self.folder, self.reason))


def default_weights_dir() -> Path:
    """Where downloaded weights are kept: $ANNOTATOR_WEIGHTS_DIR, else ~/.cache/pose-annotator/weights."""
    named = os.environ.get("ANNOTATOR_WEIGHTS_DIR")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "pose-annotator" / "weights"


def file_name(url: str) -> str:
    """The name a file has at its address, which is also its name in a weights folder."""
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name


def sha256_prefix(name: str) -> str | None:
    """The 8 hexadecimal digits of the sha256 that OpenMMLab puts into a checkpoint's name, or None."""
    match = _GIVEN_HASH.search(name)
    return match.group(1) if match else None


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find(url: str, weights_dir: str | Path | None = None) -> Path | None:
    """The file of an address where it lies already: in `weights_dir`, else in the cache; unchecked."""
    for folder in (weights_dir, default_weights_dir()):
        if folder is not None and (path := Path(folder).expanduser() / file_name(url)).is_file():
            return path
    return None


def fetch(
    url: str,
    weights_dir: str | Path | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> tuple[Path, str]:
    """The file of an address, from `weights_dir`, the cache, or the network, and the sha256 of its bytes.

    A download goes to `weights_dir` where one is given and can be written to, else to the cache. Nothing
    takes the final name before it is complete and agrees with the hash in that name. Two processes that want
    one file take turns, and the second finds it there.

    Raises:
        MissingWeightsError: not at hand, and no connection, or a server or proxy refuses; the message says
            which file belongs where.
        UserError: the server's answer or the file is wrong.
    """
    found = find(url, weights_dir)
    if found is not None:
        return found, _checked(found)
    folder = _writable_folder(weights_dir)
    with _turn(folder / f".{file_name(url)}.lock"):
        target = folder / file_name(url)
        if not target.is_file():
            _download(url, target, progress or (lambda *_: None), patience or Patience())
        return target, _checked(target)


def fetch_all(
    urls: Iterable[str],
    weights_dir: str | Path | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> list[tuple[Path, str]]:
    """`fetch` for several addresses; where there is no connection, one error lists all that is missing."""
    done, missing, last = [], [], None
    for url in dict.fromkeys(urls):
        if last is not None and find(url, weights_dir) is None:
            missing.append((file_name(url), url))  # no connection a moment ago: only look
            continue
        try:
            done.append(fetch(url, weights_dir, progress, patience))
        except MissingWeightsError as error:
            missing += error.files
            last = error
    if last is not None:
        raise MissingWeightsError(missing, last.folder, last.reason)
    return done


def _checked(path: Path) -> str:
    digest, expected = sha256_of(path), sha256_prefix(path.name)
    if expected and not digest.startswith(expected):
        raise UserError(
            f"{path} is damaged or not what its name says: its sha256 begins with {digest[:8]}, "
            f"not {expected}; delete it and fetch it again"
        )
    return digest


def _writable_folder(weights_dir: str | Path | None) -> Path:
    wanted = [Path(weights_dir).expanduser()] if weights_dir is not None else []
    for folder in [*wanted, default_weights_dir()]:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    raise UserError(
        f"cannot write weights to {' or '.join(map(str, [*wanted, default_weights_dir()]))}: name another "
        "folder with --weights-dir or ANNOTATOR_WEIGHTS_DIR"
    )


@contextlib.contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Hold an exclusive lock; the operating system releases it whatever happens to this process."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _WorthRetryingError(Exception):
    """A failure that another attempt may not meet again; `weight` is how many failures it counts for."""

    def __init__(self, reason: str, weight: int = 1) -> None:
        super().__init__(reason)
        self.weight = weight


def _download(url: str, target: Path, progress: Progress, patience: Patience) -> None:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"weights address {url}: only http and https can be fetched")
    part = target.with_name(f".{target.name}.part")
    expected = sha256_prefix(target.name)
    failures, restarted, reason = 0, False, ""
    while failures < patience.attempts:
        if failures:
            time.sleep(min(patience.pause_seconds * 2 ** (failures - 1), 30.0))
        before = _size(part)
        try:
            _transfer(url, part, before, target.name, progress, patience)
            complete = True
        except _WorthRetryingError as error:
            complete, reason = False, str(error)
            gained = _size(part) - before
            failures = 1 if gained >= _ENOUGH else failures + error.weight
        if part.exists() and (complete or expected):
            digest = sha256_of(part)
            # A server that announces a wrong length can still have sent the right bytes.
            if digest.startswith(expected or ""):
                part.replace(target)
                _sync_folder(target.parent)
                return
            if complete:
                part.unlink()
                if restarted or not before:
                    raise UserError(
                        f"{url} gave a file whose sha256 begins with {digest[:8]} where its name promises "
                        f"{expected}: it was deleted; the server or something on the way alters it"
                    )
                # What an earlier attempt left behind may be at fault; the whole file has one more chance.
                restarted = True
    raise MissingWeightsError([(target.name, url)], str(target.parent), reason)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _transfer(url: str, part: Path, have: int, name: str, progress: Progress, patience: Patience) -> None:
    """Append to `part` what it lacks; returns when the server's announced length is reached."""
    request = urllib.request.Request(url, headers={"User-Agent": "pose-annotator"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with _open(request, patience) as response:
            if response.status == 206 and _range_start(response) == have:
                mode = "ab"
            else:
                mode, have = "wb", 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length and length.isdecimal() else None
            if total is not None and total - have > shutil.disk_usage(part.parent).free:
                raise UserError(f"{part.parent} has too little room for {name} ({total / 1e9:.1f} GB)")
            with part.open(mode) as file:
                while chunk := response.read1(_CHUNK):
                    file.write(chunk)
                    have += len(chunk)
                    progress(name, have, total)
                file.flush()
                os.fsync(file.fileno())
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the partial file is longer than the real one
            if sha256_prefix(name) is None or not sha256_of(part).startswith(str(sha256_prefix(name))):
                part.unlink(missing_ok=True)
            raise _WorthRetryingError("the partial download did not fit") from None
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _WorthRetryingError(f"the server answered {error.code} {error.reason}") from None
        if error.code in (401, 403, 407):  # from proxies, as a rule: no file can be had this way
            reason = f"refused with {error.code} {error.reason}"
            raise MissingWeightsError([(name, url)], str(part.parent), reason) from None
        raise UserError(f"{url}: the server answered {error.code} {error.reason}") from None
    except TimeoutError:
        raise _WorthRetryingError(f"nothing came for {patience.stall_seconds:g} s") from None
    except http.client.HTTPException as error:
        raise _WorthRetryingError(f"the connection broke off ({type(error).__name__})") from None
    except urllib.error.URLError as error:
        raise _WorthRetryingError(f"no connection: {error.reason}", weight=2) from None
    except ConnectionError as error:
        raise _WorthRetryingError(f"the connection broke off ({error})") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise UserError(f"cannot write {part}: {error.strerror}") from None
        raise _WorthRetryingError(str(error)) from None
    if total is not None and have < total:
        raise _WorthRetryingError(f"the connection broke off at {have} of {total} bytes")


def _open(request: urllib.request.Request, patience: Patience) -> http.client.HTTPResponse:
    response = urllib.request.urlopen(request, timeout=patience.connect_seconds)
    sock = getattr(getattr(response.fp, "raw", None), "_sock", None)
    if sock is not None:
        sock.settimeout(patience.stall_seconds)
    return response


def _range_start(response: http.client.HTTPResponse) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match.group(1)) if match else None


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
