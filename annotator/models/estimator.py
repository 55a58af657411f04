"""A pose model as a run sees it, whatever is inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.people import Detections, Poses
from annotator.skeletons import Skeleton

if TYPE_CHECKING:
    from annotator.models.topdown import TopDown


class Estimator:
    """What all pose models can be asked for. There are two kinds: those for given people, which define
    `estimate`, and those that find people by themselves, which define `prepare` and `find`.

    Attributes:
        whole_image: it is of the second kind.
        skeleton: of the keypoints that come out.
        input_size: (width, height) of the network's input for one person in pixels; None: there is none.
        batch_people: people who fill a pass of the network; 0: it does not matter.
        alone: the models whose networks pose everybody, to be timed alone; none: there is nothing to time.
        on_batch: called after each pass of the network; a sign of life in calls that take minutes on a CPU.
    """

    whole_image: bool = False
    skeleton: Skeleton
    input_size: tuple[int, int] | None = None
    batch_people: int = 0
    alone: tuple[TopDown, ...] = ()
    on_batch: Callable[[], None] = staticmethod(lambda: None)

    def estimate(self, images: Sequence[np.ndarray], boxes: Sequence[Detections]) -> list[Poses]:
        """Keypoints of the people in boxes, of each image (H, W, 3) uint8 RGB, upright."""
        raise NotImplementedError

    def prepare(self, image: np.ndarray) -> Any:
        """The input for `find` of an image (H, W, 3) uint8 RGB, upright; for several threads at a time."""
        raise NotImplementedError

    def find(self, inputs: Sequence[Any]) -> list[Poses]:
        """People of each prepared image, best first."""
        raise NotImplementedError

    def take_figures(self) -> dict[str, float]:
        """What the model itself counted since the last call, for the commit record."""
        return {}
