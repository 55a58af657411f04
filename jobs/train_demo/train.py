"""Train a demo model for so many minutes with MMEngine's Runner; repeat with --resume to go on.

    python jobs/train_demo/train.py pose DATA WORK/pose --minutes 90
    python jobs/train_demo/train.py detector DATA WORK/detector --minutes 90

Several processes share one training under `torchrun --nproc-per-node 2 jobs/train_demo/train.py ...`.

A training that shall be continued later ends with --hold, which leaves the learning rate where it is; parts
of the data that have been made in the meantime are then used too. --weights begins with weights that ship.
"""

# ruff: noqa: C408 - settings in the style of OpenMMLab

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", choices=["pose", "backbone", "detector"])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--hold", action="store_true", help="no decay of the learning rate: to be resumed")
    parser.add_argument("--decay", type=float, default=0.35, help="share of the minutes that the decay takes")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in WORK")
    parser.add_argument("--input", help="a smaller size of the network's input, of those in the config")
    parser.add_argument("--weights", type=Path, help="weights to begin with, such as those that ship")
    parser.add_argument("--backbone", type=Path, help="checkpoint of a pose training whose backbone begins")
    parser.add_argument("--batch", type=int, help="people or pictures a step")
    parser.add_argument("--rate", type=float, help="learning rate")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    run(options)


def run(options: argparse.Namespace) -> None:
    """Carry out one training, or its continuation; checkpoints and logs are in `options.work`."""
    from annotator.models.openmmlab.mmlab import prepare

    prepare()
    import cv2
    import mmdet.utils
    import mmpose.utils
    import torch
    from mmengine.runner import Runner

    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # vanishing gradients cost many times what others do
    cv2.setNumThreads(1)
    register = mmdet.utils if options.model == "detector" else mmpose.utils
    register.register_all_modules(init_default_scope=True)
    config = configure(options)
    if "RANK" in os.environ:  # set by torchrun
        torch.distributed.init_process_group("gloo")
        config.launcher = "pytorch"
        config.model_wrapper_cfg = dict(
            type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False
        )
    runner = Runner.from_cfg(config)
    runner.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    runner.train()


def configure(options: argparse.Namespace) -> Config:
    """The model's training config with data, beginning and end as asked for."""
    from make_arrays import PEOPLE, PICTURES
    from mmengine.config import Config

    config = Config.fromfile(str(HERE / f"{options.model}.py"))
    if options.input:
        config.merge_from_dict(config.smaller[options.input])
    if options.model == "detector":
        config.train_dataloader.dataset = dict(
            config.train_dataset,
            parts=finished_parts(options.data / PICTURES),
            pipeline=config.train_pipeline,
        )
    else:
        finished_parts(options.data / PEOPLE)
        config.train_dataloader.data = str(options.data.resolve())
    if options.batch:
        config.train_dataloader["batch_size" if options.model == "detector" else "batch"] = options.batch
    if options.rate:
        config.optim_wrapper.optimizer.lr = options.rate
    config.test_dataloader = None
    begin(config, options)
    schedule = dict(
        type="MinutesSchedule",
        minutes=options.minutes,
        warmup=20 if options.resume else 150,
        decay=0.0 if options.hold else options.decay,
    )
    config.merge_from_dict(
        dict(
            work_dir=str(options.work.resolve()),
            train_cfg=dict(
                type=config.get("train_loop", "IterBasedTrainLoop"),
                max_iters=10_000_000,
                val_interval=10_000_000,
            ),
            custom_hooks=[config.ema, schedule],
            default_hooks=dict(
                checkpoint=None, sampler_seed=None, logger=dict(type="LoggerHook", interval=20)
            ),
            log_processor=dict(by_epoch=False, window_size=20),
            log_level="INFO",
            randomness=dict(seed=0),
            env_cfg=dict(cudnn_benchmark=True, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=1)),
        )
    )
    return config


def finished_parts(folder: Path) -> list[str]:
    """Folders of a folder of `make_arrays.py` that are whole; an error if there are none."""
    parts = sorted(str(path.parent) for path in folder.resolve().glob("*/labels.npz"))
    if not parts:
        sys.exit(f"{folder}: no part with labels.npz: see make_arrays.py")
    return parts


def begin(config: Config, options: argparse.Namespace) -> None:
    """What the weights are at first: a checkpoint's, a file's, a pose model's backbone, or random."""
    import torch

    from annotator.models.weights.loading import load_state

    config.resume = options.resume
    if options.weights:
        options.work.mkdir(parents=True, exist_ok=True)
        config.load_from = str(options.work.resolve() / "first.pth")
        torch.save({"state_dict": load_state(options.weights)}, config.load_from)
    if options.backbone:
        config.model.backbone.init_cfg = dict(
            type="Pretrained", checkpoint=str(options.backbone.resolve()), prefix="backbone."
        )


if __name__ == "__main__":
    main()
