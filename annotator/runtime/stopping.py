"""How a driver is stopped from outside: in order, by a terminal, `ray job stop` or a batch system."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """The process was asked to end. No KeyboardInterrupt: the command line parser takes those as its own.

    Attributes:
        signal: number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


def why_stopped(error: BaseException) -> BaseException:
    """The `Stopped` behind a SystemError: so Ray's compiled calls hand on what a signal's handler raises."""
    return error.__cause__ if isinstance(error.__cause__, Stopped) else error


@contextlib.contextmanager
def stopping_in_order() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Stopped` in the main thread; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        yield
    except SystemError as error:
        if (stopped := why_stopped(error)) is not error:
            raise stopped from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Put the handlers of this process back after a library has installed its own; Ray's print its stack."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _stop(number: int, frame: object) -> None:
    for other in SIGNALS:
        signal.signal(other, signal.SIG_DFL)
    raise Stopped(number)
