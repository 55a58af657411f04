"""How fast the networks are by themselves, on tensors in memory: what a run is measured by."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from annotator.models.detector import Detector
    from annotator.models.engines.engine import Engine
    from annotator.models.sources import ModelSource
    from annotator.models.topdown import TopDown


@dataclass(frozen=True, slots=True)
class SpeedOfLight:
    """What nothing around the networks can beat.

    Attributes:
        seconds_a_person: of the pose network, flip test included; None: not measured.
        seconds_an_image: of the detector; None: not measured, or there is none.
        flop_a_person, flop_an_image: floating-point operations of the same, two a multiply-accumulate; None
            where the model's cost is not known.
    """

    seconds_a_person: float | None = None
    seconds_an_image: float | None = None
    flop_a_person: float | None = None
    flop_an_image: float | None = None

    def seconds(self, people: int, images: int) -> float | None:
        """What the networks alone need for so many people, found in so many images by the detector."""
        if self.seconds_a_person is None or (images and self.seconds_an_image is None):
            return None
        return people * self.seconds_a_person + images * (self.seconds_an_image or 0.0)

    def flop(self, people: int, images: int) -> float | None:
        """The floating-point operations of the same."""
        if self.flop_a_person is None or (images and self.flop_an_image is None):
            return None
        return people * self.flop_a_person + images * (self.flop_an_image or 0.0)


def seconds_a_person(pose: TopDown, batch: int, budget: float = 0.5) -> float:
    """Seconds of the pose network for one crop, its normalisation and mirror image included.

    Args:
        batch: crops in one pass, as a run has them; fewer where that would take longer than the budget, but
            on a CPU at least two a thread, and all of them where smaller passes are padded.
        budget: seconds to spend, roughly; one pass is always measured.
    """
    import torch

    width, height = pose.input_size
    crops = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8)
    least = batch if pose.engine.padded else _least(pose.engine.device)
    return _seconds_each(lambda n: _waited(pose.engine, crops[:n], pose.flip), batch, budget, least)


def seconds_an_image(detector: Detector, batch: int, budget: float = 0.5) -> float:
    """Seconds of the detector for one image of 640 x 480, ready for its network, with nobody in it."""
    import numpy as np

    one = detector.prepare(np.full((480, 640, 3), 114, np.uint8))
    return _seconds_each(lambda n: detector.detect([one] * n), batch, budget, _least(detector.engine.device))


def _least(device: torch.device) -> int:
    """Inputs of the smallest pass whose speed is that of larger ones: CPU threads share them, two each."""
    import torch

    return 2 * torch.get_num_threads() if device.type == "cpu" else 1


def _waited(engine: Engine, crops: torch.Tensor, mirror: bool) -> object:
    import torch

    outputs = engine(crops, mirror)
    if engine.device.type == "cuda":
        torch.cuda.synchronize(engine.device)
    return outputs


def _seconds_each(call: Callable[[int], object], batch: int, budget: float, least: int = 1) -> float:
    """Seconds of `call(n)` divided by n, the fastest of as many as fit the budget.

    n doubles from `least` on until another doubling might not fit, or the device has no memory for it: a pass
    of one says nothing of a GPU, where it takes hardly less time than a pass of many.
    """
    from annotator.models.passes import Passes

    passes = Passes(batch)

    def look(part: slice) -> tuple[int, float]:
        call(part.stop)
        return part.stop, _timed(call, part.stop)

    count, seconds = next(passes.over(min(batch, least), look))
    while count < passes.most and seconds <= budget / 6:
        count, seconds = next(passes.over(min(2 * count, passes.most), look))
    spent = best = seconds
    while spent < budget / 2:
        seconds = _timed(call, count)
        spent += seconds
        best = min(best, seconds)
    return best / count


def _timed(call: Callable[[int], object], count: int) -> float:
    started = time.perf_counter()
    call(count)
    return time.perf_counter() - started


def flop_of(source: ModelSource, passes: int = 1) -> float | None:
    """Floating-point operations of one crop or image; None if they cannot be counted.

    Counted once for a config that is not among the shipped ones, which takes seconds, and kept in the cache.
    """
    from annotator.errors import UserError
    from annotator.models.weights.fetch import default_weights_dir
    from annotator.models.zoo import cost

    known = cost.shipped().get(Path(source.config_path).stem)
    kept = default_weights_dir().parent / "costs" / f"{source.config_sha256}.json"
    if known is None and source.config_sha256:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = cost.Cost.from_dict(json.loads(kept.read_text(encoding="utf-8")))
    if known is None:
        try:
            known = cost.measure(source.config_path, source.kind)
        except UserError:
            return None
        with contextlib.suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(known.to_dict()), encoding="utf-8")
    return None if known.macs is None else 2.0 * passes * (known.macs + (known.attention_macs or 0))
