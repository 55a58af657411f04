"""Labelled cases that a fit learns from, with the images they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Arrays with a row each case; what a case is, the kinds of sample say.

    Attributes:
        images: (N,) int64, by which images the folds of a cross-validation are drawn.
    """

    images: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def of(self, which: np.ndarray) -> Self:
        """Some of the cases, by a mask or by their places."""
        return type(self)(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    @classmethod
    def together(cls, samples: Sequence[Self]) -> Self:
        """Several samples as one; images of different samples are different images."""
        columns = {
            field.name: np.concatenate([getattr(sample, field.name) for sample in samples])
            for field in fields(cls)
        }
        images, start = [], 0
        for sample in samples:
            names, numbers = np.unique(sample.images, return_inverse=True)
            images.append(numbers + start)
            start += len(names)
        return cls(**columns | {"images": np.concatenate(images)})
