"""Inputs divided into passes of a network, no larger than the device has memory for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

Result = TypeVar("Result")


class Passes:
    """The fewest passes of even size, halved for good whenever the device runs out of memory.

    Args:
        most: inputs in one pass, at most.

    Attributes:
        most: the same, as far as it has been halved by now.
    """

    def __init__(self, most: int = sys.maxsize) -> None:
        self.most = most

    def over(self, count: int, look: Callable[[slice], Result], room: int = sys.maxsize) -> Iterator[Result]:
        """What `look` gives for each pass over `count` inputs, in order; a pass that fails is tried smaller.

        Args:
            look: takes the places of the inputs of one pass.
            room: a limit of these inputs beside `most`.

        Raises:
            torch.OutOfMemoryError: of a pass of one input.
        """
        start = 0
        while start < count:
            part = self.part(start, count, room)
            size = part.stop - part.start
            try:
                found = look(part)
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                self.most = size // 2
            else:
                yield found
                start = part.stop
                continue
            # Only here does nothing hold on to the tensors of the failed attempt any more.
            torch.cuda.empty_cache()

    def part(self, start: int, count: int, room: int = sys.maxsize) -> slice:
        """Places of the next pass over `count` inputs, of which those before `start` are done."""
        left = count - start
        # Even sizes rather than full passes and a small rest.
        passes = -(-left // min(self.most, room))
        return slice(start, start + -(-left // passes))
