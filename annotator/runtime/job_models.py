"""The models of a job, built on the device of one worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from annotator.errors import UserError
from annotator.models.estimator import Estimator
from annotator.runtime.job import Job
from annotator.runtime.line import PersonDetector


def build_models(job: Job, threads: int | None) -> tuple[PersonDetector | None, Estimator]:
    """The detector and pose estimator of a job on one device.

    Args:
        threads: of torch on the CPU; None: as torch likes.

    Raises:
        UserError: a model cannot be built from its configuration or weights.
    """
    import torch

    from annotator.models.detector import Detector
    from annotator.models.registry import build_estimator

    config = job.config
    device = choose_device(config.device)
    if threads:
        torch.set_num_threads(threads)
    pose = build_estimator(
        job.pose,
        device=device,
        precision=config.precision,
        engine="torch" if config.engine == "auto" else config.engine,
        flip=config.flip,
        batch_people=config.batch_people,
        score_threshold=config.detector_threshold,
        max_people=config.max_people,
    )
    if job.second is not None:
        pose = _with_second(job, pose, build_estimator, device)
    if job.detector is None:
        return None, pose
    detector = Detector(
        job.detector,
        device=device,
        precision=config.detector_precision,
        engine="torch" if config.detector_engine == "auto" else config.detector_engine,
        score_threshold=config.detector_threshold,
        max_people=config.max_people,
    )
    return detector, pose


def _with_second(job: Job, first: Any, build: Callable[..., Any], device: str) -> Estimator:
    """Both pose models of a job as one."""
    from annotator.models.second_opinion import CascadeRule, SecondOpinion

    config, source = job.config, job.second
    assert source is not None
    second = build(
        source,
        device=device,
        precision=config.precision,
        engine="torch" if config.second_engine == "auto" else config.second_engine,
        flip=config.flip,
        batch_people=config.batch_people,
    )
    rule = None
    if config.cascade:
        rule = CascadeRule(config.cascade_bbox_score, config.cascade_pose_score, config.cascade_flip_oks)
    return SecondOpinion(first, second, (job.pose.name, source.name), rule)


def choose_device(name: str) -> str:
    """The torch device for "auto" or an explicit name.

    Raises:
        UserError: the named device is not there.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"device {name}: torch sees no CUDA device here; use --device cpu, or see `annotator doctor`"
        )
    return name
