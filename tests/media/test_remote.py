"""Local copies of films: never more on the disk than there is room for, whoever fetches and reads them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from annotator.errors import ItemError
from annotator.media import pulse, remote
from annotator.media.remote import local_copy


@pytest.fixture
def fetched(monkeypatch) -> Counter[str]:
    """How often each film of 3 bytes was fetched; a process may keep 8."""
    counts: Counter[str] = Counter()

    def pieces(place):
        counts[place.key] += 1
        for _ in range(3):
            time.sleep(0.01)
            yield b"x"

    monkeypatch.setattr("annotator.store.objects.size_of", lambda place: 3)
    monkeypatch.setattr("annotator.store.objects.pieces", pieces)
    monkeypatch.setattr(remote, "_copies", remote._Copies())
    monkeypatch.setattr(remote, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(remote, "MOST_BYTES", 8)
    return counts


@contextmanager
def opened(name: str):
    """A film that is read on after the copy was given back, as containers are."""
    with local_copy(f"s3://bucket/{name}") as path:
        file = Path(path).open("rb")  # noqa: SIM115
    with file:
        yield file


def test_the_pulse_goes_on_while_a_film_is_fetched(fetched):
    start = pulse.beats()
    with opened("film"):
        assert pulse.beats() - start == 3


def test_copies_under_way_and_being_read_count(fetched):
    present, most, lock = 0, 0, threading.Lock()

    def read(name: int) -> bytes:
        nonlocal present, most
        with opened(str(name)) as file:
            with lock:
                present += 1
                most = max(most, present)
            time.sleep(0.03)
            with lock:
                present -= 1
            return file.read()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(12))) == [b"xxx"] * 12
    assert most == 2
    assert set(fetched.values()) == {1}


def test_a_film_that_is_being_read_is_kept_for_the_next_reader(fetched):
    with opened("long"), opened("2"):
        pass
    with opened("long"):
        for name in ("2", "3", "4"):
            with opened(name):
                pass
    with opened("long"):
        assert fetched["long"] == 1


def test_readers_that_wait_for_each_other_do_not_wait_for_ever(fetched, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.1)
    with opened("1"), opened("2"), opened("3") as file:
        assert file.read() == b"xxx"


@pytest.fixture
def disk(monkeypatch) -> SimpleNamespace:
    """The disk of the copies, with 4 bytes free."""
    usage = SimpleNamespace(free=4)
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda where: usage)
    return usage


def content(name: str) -> bytes:
    with opened(name) as file:
        return file.read()


def test_a_disk_without_room_is_waited_for_where_others_may_give_it_back(fetched, disk):
    with ThreadPoolExecutor(1) as pool:
        with opened("1"):
            disk.free = 1
            waiting = pool.submit(content, "2")
            time.sleep(0.1)
            assert not waiting.done()
        assert waiting.result(10) == b"xxx"


def test_a_disk_without_room_is_an_error_once_waiting_was_in_vain(fetched, disk, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.1)
    with ThreadPoolExecutor(1) as pool, opened("1"):
        disk.free = 1
        waiting = pool.submit(content, "2")
        with pytest.raises(ItemError, match="no space") as caught:
            waiting.result(10)
    assert caught.value.kind == "too_large"


def test_a_disk_without_room_and_without_copies_is_an_error_at_once(fetched, disk):
    disk.free = 1
    with pytest.raises(ItemError, match="no space") as caught:
        content("1")
    assert caught.value.kind == "too_large"


def test_a_film_that_fails_does_not_fail_those_that_wait(fetched, monkeypatch):
    begun, fail = threading.Event(), threading.Event()
    settle = remote._copies._settle

    def pieces(place):
        if place.key == "bad":
            begun.set()
            fail.wait(10)
            raise OSError("connection lost")
        yield b"xxx"

    def slowly(copy):
        time.sleep(0.1)
        settle(copy)

    monkeypatch.setattr(remote, "MOST_BYTES", 4)
    monkeypatch.setattr("annotator.store.objects.pieces", pieces)
    monkeypatch.setattr(remote._copies, "_settle", slowly)
    with ThreadPoolExecutor(2) as pool:
        bad = pool.submit(content, "bad")
        assert begun.wait(10)
        good = pool.submit(content, "good")
        time.sleep(0.05)
        fail.set()
        with pytest.raises(ItemError, match="connection lost"):
            bad.result(10)
        assert good.result(10) == b"xxx"
