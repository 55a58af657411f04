"""Train a demo model for so many minutes with MMEngine's Runner; repeat with --resume to go on.

    python jobs/train_demo/train.py pose DATA/crops WORK/pose --minutes 90
    python jobs/train_demo/train.py detector DATA/train WORK/detector --minutes 90

Several processes share one training under `torchrun --nproc-per-node 2 jobs/train_demo/train.py ...`.

A training that shall be continued later ends with --hold, which leaves the learning rate where it is; parts
of the data that have been made in the meantime are then used too.
"""

# ruff: noqa: C408 - settings in the style of OpenMMLab

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from annotator.synth.dataset import ANNOTATIONS, IMAGES_DIR

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", choices=["pose", "detector"])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--hold", action="store_true", help="no decay of the learning rate: to be resumed")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in WORK")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    run(options)


def run(options: argparse.Namespace) -> None:
    from annotator.models.mmlab import prepare

    prepare()
    import cv2
    import mmdet.utils
    import mmpose.utils
    import torch
    from mmengine.config import Config
    from mmengine.runner import Runner

    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    config = Config.fromfile(str(HERE / f"{options.model}.py"))
    if options.model == "pose":
        mmpose.utils.register_all_modules(init_default_scope=True)
    else:
        mmdet.utils.register_all_modules(init_default_scope=True)
    parts = sorted(path.parent for path in options.data.resolve().glob(f"*/{ANNOTATIONS}"))
    if not parts:
        sys.exit(f"{options.data}: no part with {ANNOTATIONS}")
    datasets = [
        dict(config.train_dataset, data_root=str(p), ann_file=ANNOTATIONS, data_prefix=dict(img=IMAGES_DIR))
        for p in parts
    ]
    config.train_dataloader.dataset = dict(type="ConcatDataset", datasets=datasets)
    config.test_dataloader = None
    schedule = dict(
        type="MinutesSchedule",
        minutes=options.minutes,
        warmup=20 if options.resume else 150,
        decay=0.0 if options.hold else 0.35,
    )
    config.merge_from_dict(
        dict(
            work_dir=str(options.work.resolve()),
            train_cfg=dict(type="IterBasedTrainLoop", max_iters=10_000_000, val_interval=10_000_000),
            custom_hooks=[config.ema, schedule],
            default_hooks=dict(
                checkpoint=None,
                logger=dict(type="LoggerHook", interval=20),
            ),
            log_processor=dict(by_epoch=False, window_size=20),
            resume=options.resume,
            log_level="INFO",
            randomness=dict(seed=0),
        )
    )
    if config.train_dataloader.num_workers == 0:
        config.train_dataloader.persistent_workers = False
    if "RANK" in os.environ:  # set by torchrun
        torch.distributed.init_process_group("gloo")
        config.launcher = "pytorch"
        config.model_wrapper_cfg = dict(
            type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False
        )
    config.env_cfg = dict(mp_cfg=dict(mp_start_method="fork", opencv_num_threads=1))
    runner = Runner.from_cfg(config)
    runner.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    runner.train()


if __name__ == "__main__":
    main()
