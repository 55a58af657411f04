"""Training by the clock: warm up, hold, come down as the minutes run out; a checkpoint now and then."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class MinutesSchedule(Hook):
    """Scales the optimizer's learning rate by the minutes that have passed, saves, and ends the training.

    Warm-up, stable, decay (Hu et al., "MiniCPM", 2024): a training on a machine of unknown or shared speed
    ends well whenever it must end.

    Args:
        minutes: wall-clock time of this training.
        warmup: iterations from 0 to the full rate; none when resumed.
        decay: share of the time at the end over which the rate falls to a hundredth; 0 holds it.
        save: minutes between checkpoints; there is one at the end too.
    """

    priority = "LOW"

    def __init__(self, minutes: float, warmup: int = 300, decay: float = 0.35, save: float = 3.0) -> None:
        self.seconds = minutes * 60
        self.warmup = warmup
        self.decay = decay
        self.save = save * 60
        self.began = self.saved = self.elapsed = 0.0
        self.first: int | None = None

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        now = time.monotonic()
        if self.first is None:
            self.began = self.saved = now
            self.first = runner.iter
        # All ranks go by the first one's clock, or their weights would drift apart.
        elapsed = torch.tensor(now - self.began, dtype=torch.float64)
        broadcast(elapsed)
        self.elapsed = float(elapsed)
        factor = self.factor(runner.iter - self.first, self.elapsed)
        for group in runner.optim_wrapper.optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * factor

    def factor(self, iteration: int, elapsed: float) -> float:
        """Of the learning rate, after so many iterations and seconds of this training."""
        left = 1 - elapsed / self.seconds
        falling = max(0.01, left / self.decay) if self.decay and left < self.decay else 1.0
        return falling * min(1.0, (iteration + 1) / self.warmup)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        over = self.elapsed > self.seconds
        if is_main_process() and (over or time.monotonic() - self.saved > self.save):
            self.saved = time.monotonic()
            save(runner)
        runner.train_loop.stop_training = over


def save(runner: Any) -> None:
    """Write the checkpoint that `--resume` finds, under one name: only the newest is kept."""
    runner.save_checkpoint(runner.work_dir, "last.pth", by_epoch=False)
    (Path(runner.work_dir) / "last_checkpoint").write_text(str(Path(runner.work_dir) / "last.pth"))
