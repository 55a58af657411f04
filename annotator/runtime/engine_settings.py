"""`auto` engines and precisions become names once, at the start of a run, so that all its rows are alike."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.config import RunConfig
from annotator.errors import UserError
from annotator.store import run_info

if TYPE_CHECKING:
    from annotator.models.sources import ModelSource

log = logging.getLogger(__name__)

FIELDS = ("engine", "precision", "second_engine", "detector_engine", "detector_precision")


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings without `auto` among `FIELDS`, and what to tell the user about them."""

    config: RunConfig
    opening: str


def resolve_engines(
    config: RunConfig, pose: ModelSource, detector: ModelSource | None, second: ModelSource | None = None
) -> Resolved:
    """What carries out the models of a run.

    A run that exists goes on with what it was started with, on whatever machine that is. A new one takes what
    is known to be best for the models on the device that its workers will have.

    Raises:
        UserError: an engine was asked for that cannot carry out the model.
    """
    from annotator.models.engines.engine_choice import choose_detector, choose_pose

    config = settle_device(config.model_copy(update=_standing(config)))
    device = workers_device(config)
    chosen = choose_pose(pose, device, config.engine, config.precision)
    update = {"engine": chosen.engine, "precision": chosen.precision}
    opening = f"pose model by {chosen}"
    if second is not None:
        asked = config.engine if config.second_engine == "auto" else config.second_engine
        other = choose_pose(second, device, asked, chosen.precision)
        update["second_engine"] = other.engine
        opening += f", the second by {other}"
    if detector is not None:
        found = choose_detector(detector, device, config.detector_engine, config.detector_precision)
        update |= {"detector_engine": found.engine, "detector_precision": found.precision}
        opening += f", detector by {found}"
    return Resolved(config.model_copy(update=update), opening)


def _standing(config: RunConfig) -> dict[str, str]:
    """What a run that exists has for the settings left to `auto`."""
    try:
        before = run_info.read(config.out).config
    except UserError:
        return {}
    standing = {
        name: before[name]
        for name in FIELDS
        if getattr(config, name) == "auto" and before.get(name, "auto") != "auto"
    }
    # What a run on a cluster calculates on stands as well: its GPUs may just be gone, and for GPUs that have
    # joined its engines were not chosen.
    if config.device == "auto" and _joins(config) and before.get("address"):
        standing["device"] = before["device"]
    return standing


def check_device(config: RunConfig) -> None:
    """Refuse a GPU by its number where Ray hands them out: each worker sees one alone, and calls it cuda:0.

    Raises:
        UserError: it is so.
    """
    kind, _, number = config.device.partition(":")
    if config.executor == "ray" and kind == "cuda" and number not in ("", "0"):
        raise UserError(
            f"--device {config.device}: Ray gives each worker one GPU, which it calls cuda:0; name it to Ray "
            f"with CUDA_VISIBLE_DEVICES={number} and take --device cuda, or run with --executor inline"
        )


def workers_device(config: RunConfig) -> str:
    """ "cpu" or "cuda...": what the workers of a run will calculate on, as far as this process can tell."""
    if config.device != "auto":
        return config.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def settle_device(config: RunConfig) -> RunConfig:
    """`auto` on a cluster becomes cuda or cpu, once: nodes come and go, the run is to be carried out alike.

    Raises:
        RunFailed: the cluster cannot be reached.
    """
    if config.device != "auto" or not _joins(config):
        return config
    from annotator.runtime.ray.session import ray_session

    with ray_session(config.address) as ray:
        device = "cuda" if ray.cluster_resources().get("GPU", 0) > 0 else "cpu"
    if device == "cpu":
        log.warning(
            "no node of the cluster has a GPU now: this run calculates on CPUs, also when GPUs join. "
            "`--device cuda` waits for GPUs, which is what makes an autoscaler bring them; `--device cpu` "
            "says that CPUs are meant"
        )
    return config.model_copy(update={"device": device})


def _joins(config: RunConfig) -> bool:
    return config.executor == "ray" and config.address is not None
