"""Passes of a network: few, of even size, and halved for good when the device runs out of memory."""

from __future__ import annotations

import pytest
import torch

from annotator.models.passes import Passes


def sizes(passes: Passes, count: int, **options: int) -> list[int]:
    """Of the passes over so many inputs; each input is seen once, in order."""
    parts = list(passes.over(count, lambda part: part, **options))
    assert [place for part in parts for place in range(count)[part]] == list(range(count))
    return [part.stop - part.start for part in parts]


@pytest.mark.parametrize(
    ("most", "count", "expected"),
    [(32, 0, []), (32, 1, [1]), (32, 32, [32]), (32, 33, [17, 16]), (32, 70, [24, 23, 23]), (1, 2, [1, 1])],
)
def test_passes_are_few_and_even(most: int, count: int, expected: list[int]) -> None:
    assert sizes(Passes(most), count) == expected


def test_these_inputs_may_have_a_limit_of_their_own() -> None:
    passes = Passes(8)
    assert sizes(passes, 6, room=2) == [2, 2, 2] and sizes(passes, 6) == [6]


def test_a_pass_without_memory_is_halved_for_good() -> None:
    passes, tried = Passes(), []

    def look(part: slice) -> int:
        tried.append(part.stop - part.start)
        if tried[-1] > 3:
            raise torch.OutOfMemoryError("out of memory")
        return tried[-1]

    assert list(passes.over(7, look)) == [3, 2, 2] and tried == [7, 3, 2, 2]
    assert sizes(passes, 6) == [3, 3]


def test_one_input_that_finds_no_memory_is_an_error() -> None:
    def look(part: slice) -> None:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        list(Passes(4).over(4, look))
