"""Which estimator carries out a pose model: top-down ones need boxes, the others look at whole images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.errors import UserError
from annotator.models.configs import load_model_config, type_name
from annotator.models.sources import ModelSource

if TYPE_CHECKING:
    from annotator.models.topdown import TopDown


def needs_boxes(source: ModelSource) -> bool:
    """Whether the pose model works on given or detected people, rather than on whole images."""
    return type_name(load_model_config(source.config_path, "pose").model) == "TopdownPoseEstimator"


def build_estimator(
    source: ModelSource,
    *,
    device: str = "cpu",
    precision: str = "auto",
    flip: bool | None = None,
    batch_people: int = 32,
) -> TopDown:
    """The estimator of a pose model, its weights loaded.

    Raises:
        UserError: no estimator for this kind of model, or the model cannot be built.
    """
    if needs_boxes(source):
        from annotator.models.topdown import TopDown

        return TopDown(source, device=device, precision=precision, flip=flip, batch_people=batch_people)
    kind = type_name(load_model_config(source.config_path, "pose").model)
    raise UserError(f"{source.name} is a {kind}: models that look at whole images cannot be run yet")
