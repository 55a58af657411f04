"""Signals end a driver in order, whatever library they arrive in."""

from __future__ import annotations

import os
import signal

import pytest

from annotator.runtime.stopping import Stopped, stopping_in_order, why_stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_raises_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=signal.Signals(number).name) as caught, stopping_in_order():
        os.kill(os.getpid(), number)
    assert caught.value.signal == number
    assert signal.getsignal(number) == before


def test_what_compiled_code_made_of_it_is_taken_back():
    with pytest.raises(Stopped), stopping_in_order():
        try:
            raise Stopped(signal.SIGTERM)
        except Stopped as stopped:
            raise SystemError("returned a result with an exception set") from stopped


def test_another_system_error_stays_one():
    error = SystemError("of its own")
    assert why_stopped(error) is error
    with pytest.raises(SystemError, match="of its own"), stopping_in_order():
        raise error
