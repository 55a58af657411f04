"""What a process was working on can be read after any death of it."""

from __future__ import annotations

import errno
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from annotator.runtime.intents import IntentLog, forget, in_flight, read_crash
from annotator.runtime.scheduling.blame import Cause


def test_marks_are_seen_while_the_work_goes_on(tmp_path):
    with IntentLog(tmp_path, "a", first=100, size=10) as log:
        assert len(in_flight(tmp_path, "a")) == 0
        with log.decoding(109), log.in_models([100, 103]):
            seen = in_flight(tmp_path, "a")
            assert (seen.decoding, seen.in_models) == ((109,), (100, 103))
            assert seen.indices == (109, 100, 103)
        assert len(in_flight(tmp_path, "a")) == 0
    assert not list((tmp_path / "intents").iterdir())


def test_an_exception_leaves_the_mark_for_whoever_judges_the_end(tmp_path):
    log = IntentLog(tmp_path, "a", first=0, size=4)
    with pytest.raises(KeyError), log.decoding(2):
        raise KeyError
    assert in_flight(tmp_path, "a").indices == (2,)
    forget(tmp_path, "a")
    assert in_flight(tmp_path, "a").indices == ()


def test_after_an_error_the_file_stays_and_the_descriptor_does_not(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(KeyError), IntentLog(tmp_path, "a", first=0, size=4) as log, log.decoding(2):
        raise KeyError
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert in_flight(tmp_path, "a").indices == (2,)


def test_a_full_disk_at_the_start_leaves_no_descriptor(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr("os.write", full)
        IntentLog(tmp_path, "a", first=0, size=4)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_every_mark_counts_as_progress(tmp_path):
    with IntentLog(tmp_path, "a", first=0, size=4) as log:
        before = log.marks
        with log.in_models([0, 1]):
            assert log.marks == before + 2
        assert log.marks == before + 4


def test_threads_mark_side_by_side(tmp_path):
    log = IntentLog(tmp_path, "a", first=0, size=64)
    stop = threading.Event()
    threads = []
    for number in range(8):

        def work(number=number):
            for index in range(number, 64, 8):
                with log.decoding(index):
                    pass
            with log.decoding(number):
                stop.wait()

        threads.append(threading.Thread(target=work))
        threads[-1].start()
    # Eight may be in flight before all threads have come to their last; the time limit ends a vain wait.
    while in_flight(tmp_path, "a").decoding != tuple(range(8)):
        pass
    stop.set()
    for thread in threads:
        thread.join()
    assert len(in_flight(tmp_path, "a")) == 0
    log.close()


@pytest.mark.parametrize("content", [b"", b"not json\n...", b'{"size": 3}\n...', b'{"first": null}\n..d'])
def test_a_record_cut_short_blames_nobody(tmp_path, content):
    (tmp_path / "intents").mkdir()
    (tmp_path / "intents" / "a.intent").write_bytes(content)
    assert len(in_flight(tmp_path, "a")) == 0


DEATHS = {
    "os.abort()": "Aborted in decode_it",
    "ctypes.string_at(0)": "Segmentation fault in string_at",
    "signal.raise_signal(signal.SIGBUS)": "Bus error in decode_it",
    "signal.raise_signal(signal.SIGKILL)": None,
    "os._exit(1)": None,
}


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("death", DEATHS)
def test_the_end_of_a_process_can_be_read(tmp_path, death, threaded):
    script = f"""
        import ctypes, os, signal, threading
        from annotator.runtime.intents import IntentLog, write_crashes_to
        write_crashes_to({str(tmp_path)!r}, "w")
        log = IntentLog({str(tmp_path)!r}, "a", 10, 5)
        def decode_it():
            with log.decoding(13):
                {death}
        with log.in_models([11]):
            if {threaded}:
                thread = threading.Thread(target=decode_it)
                thread.start()
                thread.join()
            else:
                decode_it()
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False)
    assert ended.returncode != 0
    seen = in_flight(tmp_path, "a")
    assert (seen.decoding, seen.in_models) == ((13,), (11,))
    crash = read_crash(tmp_path, "w")
    if DEATHS[death] is None:
        assert crash is None
    else:
        assert crash is not None
        assert crash.cause is Cause.CRASHED
        assert crash.detail.startswith(DEATHS[death])


def test_no_crash_file_is_no_crash(tmp_path):
    assert read_crash(tmp_path, "nobody") is None
    script = f"from annotator.runtime.intents import *; write_crashes_to({str(tmp_path)!r}, 'w')"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert read_crash(tmp_path, "w") is None
