"""The configuration of a run: frozen, validated, hashed; from a YAML file and command-line overrides."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from annotator.errors import UserError

# Settings that change where or how fast a run is carried out, but never a row: a run may resume with others.
PLACEMENT_FIELDS = frozenset(
    {
        "out", "executor", "address", "workers", "device", "weights_dir", "decode_threads", "batch_images",
        "batch_people", "prefetch_images", "prefetch_mib", "hang_seconds", "quiet",
    }
)  # fmt: skip


class RunConfig(BaseModel):
    """Everything a run depends on besides the bytes of its inputs and weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[str, ...] = Field(
        min_length=1, description="Directories, globs, pictures, videos, lists, COCO JSON, manifests"
    )
    out: str = Field(description="Run folder")
    image_root: str | None = Field(
        default=None, description="Folder that the file names of a COCO file or manifest start from"
    )
    limit: int | None = Field(default=None, ge=1, description="Only the first N images or frames")
    every: int | None = Field(
        default=None, ge=1, description="Of the frames of a video, the first and every N-th"
    )
    fps: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="At most so many frames of a video a second"
    )
    start: float | None = Field(default=None, ge=0, description="Frames of a video from this second on")
    end: float | None = Field(default=None, gt=0, description="Frames of a video before this second")
    keyframes_only: bool = Field(default=False, description="Only those frames of a video that are keyframes")
    track: bool = Field(default=True, description="Follow people through videos")
    track_gap: float = Field(
        default=4.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds after which somebody who was lost is somebody else",
    )
    shard_size: int = Field(
        default=256, ge=1, description="Images a shard: the unit of work, of commits and of resuming"
    )

    pose: str = Field(default="vitpose-h", description="Pose model: a name of the catalogue or a config file")
    pose_weights: str | None = None
    detector: str | None = Field(default="rtmdet-m", description="Person detector: a name or a config file")
    detector_weights: str | None = None
    boxes: str | None = Field(
        default=None, description="COCO file with person boxes to use instead of a detector"
    )
    second_pose: str | None = Field(
        default=None, description="Another pose model on the same boxes: how far both agree, joint by joint"
    )
    second_pose_weights: str | None = None
    cascade: bool = Field(
        default=False, description="The second pose model poses only those of whom the first is not sure"
    )
    cascade_bbox_score: float = Field(
        default=0.3, ge=0, description="Cascade: boxes below this score are left to the first model"
    )
    cascade_pose_score: float = Field(
        default=0.6, ge=0, description="Cascade: mean keypoint score below which the first model is not sure"
    )
    cascade_flip_oks: float = Field(
        default=0.8, ge=0, le=1, description="Cascade: OKS of the flip test's halves below which it is not"
    )
    weights_dir: str | None = None
    flip: bool | None = Field(default=None, description="Flip test; default: as the model's config says")
    engine: Literal["auto", "torch", "compile", "onnx", "tensorrt"] = Field(
        default="auto", description="What carries out the pose model; auto is resolved when a run starts"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="Of the pose model; auto is resolved when a run starts"
    )
    second_engine: Literal["auto", "torch", "compile", "onnx", "tensorrt"] = Field(
        default="auto",
        description="What carries out the second pose model; auto: as `engine` where that was given",
    )
    detector_engine: Literal["auto", "torch", "onnx", "tensorrt"] = Field(
        default="auto", description="What carries out the detector; auto is resolved when a run starts"
    )
    detector_precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="Of the detector; auto is resolved when a run starts"
    )

    detector_threshold: float = Field(
        default=0.1, ge=0, le=1, description="Person boxes below this score are dropped"
    )
    max_people: int = Field(
        default=200, ge=1, le=4095, description="At most this many people an image, best boxes first"
    )
    visible_threshold: float = Field(
        default=0.3, ge=0, description="Keypoint score from which a joint is marked v=2"
    )
    hidden_threshold: float = Field(
        default=0.05, ge=0, description="Keypoint score from which a joint is marked v=1"
    )
    visibility: Literal["auto", "score-thresholds", "evidence"] = Field(
        default="auto",
        description="How v is decided: by the score alone, or by the evidence that the calibration weighs "
        "(auto: where it does)",
    )
    calibration: str | None = Field(
        default=None, description="File of `annotator calibrate`: fills keypoint_probs"
    )
    nms: Literal["flag", "drop"] = Field(
        default="flag", description="What becomes of people whom OKS-NMS suppresses: flagged, or left out"
    )
    phantom_threshold: float = Field(
        default=0.3, ge=0, description="Person score below which somebody is likely a phantom"
    )

    max_pixels: int = Field(default=250_000_000, ge=1, description="Larger pictures become error rows unread")

    executor: Literal["ray", "inline"] = "ray"
    address: str | None = Field(
        default=None, description="Ray cluster to join; default: start Ray on this machine"
    )
    workers: int | None = Field(
        default=None, ge=1, description="Default: one a GPU, or one on a machine without"
    )
    device: str = Field(default="auto", description="auto, cpu or cuda; cuda:N with the executor inline")
    decode_threads: int | None = Field(default=None, ge=1)
    batch_images: int = Field(default=16, ge=1, description="Images in one pass of the detector")
    batch_people: int = Field(default=32, ge=1, description="People in one pass of the pose model")
    prefetch_images: int = Field(default=64, ge=1, description="Images decoded ahead, at most")
    prefetch_mib: int = Field(default=1024, ge=1, description="MiB of pixels decoded ahead, at most")
    hang_seconds: float = Field(
        default=900,
        gt=0,
        description="A Ray worker without progress for so long is ended and its work done anew",
    )
    quiet: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        if self.hidden_threshold > self.visible_threshold:
            raise ValueError("hidden_threshold must not exceed visible_threshold")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("start must be before end")
        if self.second_pose is None and (self.cascade or self.second_pose_weights is not None):
            option = "cascade" if self.cascade else "second_pose_weights"
            raise ValueError(f"{option} needs second_pose: the other model")
        return self

    def identity(self) -> dict[str, Any]:
        """The settings that decide what the rows are; what a resumed run must share with its first start."""
        return self.model_dump(mode="json", exclude=set(PLACEMENT_FIELDS))

    def sha256(self) -> str:
        """Hash of `identity()`, hex."""
        return settings_sha256(self.identity())


def settings_sha256(settings: dict[str, Any]) -> str:
    """`RunConfig.sha256` of settings in JSON form, of any version, hex."""
    identity = {name: value for name, value in settings.items() if name not in PLACEMENT_FIELDS}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


_MISSING = {
    "inputs": "no inputs: name directories, pictures, videos, lists or COCO files",
    "out": "no --out: name a folder for the run",
}


def load_config(
    path: str | None,
    overrides: dict[str, Any],
    settings: list[str],
    base: dict[str, Any] | None = None,
) -> RunConfig:
    """A configuration from a YAML file, then command-line options, then `key=value` settings; later ones win.

    Args:
        path: YAML file of `RunConfig` fields, or None.
        base: values by field name that all of these win over.
        overrides: values by field name; None means "not given".
        settings: strings such as "batch_people=64"; the value is read as YAML.

    Raises:
        UserError: unreadable file, unknown field, or a value out of range; the message names the field.
    """
    import yaml

    values: dict[str, Any] = dict(base or {})
    if path is not None:
        try:
            loaded = yaml.safe_load(Path(path).read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"cannot read the configuration {path}: {error}") from None
        if not isinstance(loaded, dict):
            raise UserError(
                f"{path} is not a configuration: expected `field: value` lines, as in `shard_size: 256`"
            )
        if nameless := [field for field in loaded if not isinstance(field, str)]:
            raise UserError(
                f"{path}: a field is called {nameless[0]!r}, which is no text (YAML reads on and numbers "
                "as other things); fields are named as in `shard_size: 256`"
            )
        values.update(loaded)
    values.update({key: value for key, value in overrides.items() if value is not None})
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign:
            raise UserError(f"--set {setting}: expected key=value, as in --set batch_people=64")
        try:
            values[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(
                f"--set {setting}: the value is no YAML; a text with special characters needs quotes, as in "
                f"--set '{key.strip()}=\"...\"'"
            ) from None
    try:
        return RunConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "value_error":
            raise UserError(str(first.get("ctx", {}).get("error", first["msg"]))) from None
        if first["type"] == "missing":
            missing = [str(one["loc"][0]) for one in error.errors() if one["type"] == "missing"]
            raise UserError("; ".join(_MISSING[name] for name in missing)) from None
        field = ".".join(str(part) for part in first["loc"]) or "configuration"
        known = (
            ""
            if first["type"] != "extra_forbidden"
            else f"; known fields: {', '.join(RunConfig.model_fields)}"
        )
        raise UserError(f"{field}: {first['msg']} (got {first.get('input')!r}){known}") from None
