"""What a network gives: tensors, nested as its head likes; taken apart and put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from annotator.pose.decoding import Outputs


def tensors(outputs: Any) -> list[Tensor]:
    """The tensors of outputs, flat, in their order."""
    if isinstance(outputs, list | tuple):
        return [tensor for part in outputs for tensor in tensors(part)]
    return [outputs]


def nested(flat: Sequence[Tensor], like: Any) -> Any:
    """Flat outputs in the nesting of `like`, which is what the network itself returned once."""
    parts = iter(flat)

    def build(part: Any) -> Any:
        if isinstance(part, list | tuple):
            return type(part)(build(one) for one in part)
        return next(parts)

    return build(like)


def split(outputs: Outputs, count: int) -> tuple[Any, Any]:
    """The outputs of a mirrored batch: those of its first `count` crops, and of their mirror images."""
    if isinstance(outputs, list | tuple):
        halves = [split(part, count) for part in outputs]
        return tuple(half[0] for half in halves), tuple(half[1] for half in halves)
    return outputs[:count], outputs[count:]  # type: ignore[index]


def joined(parts: Sequence[Any]) -> Any:
    """One output of those of consecutive parts of a batch, nested alike."""
    first = parts[0]
    if isinstance(first, list | tuple):
        return type(first)(joined(part) for part in zip(*parts, strict=True))
    return torch.cat(list(parts))
