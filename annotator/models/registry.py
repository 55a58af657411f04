"""Which estimator carries out a pose model: top-down ones need boxes, the others look at whole images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.models.sources import ModelSource, needs_boxes

if TYPE_CHECKING:
    from annotator.models.topdown import TopDown
    from annotator.models.whole_image.estimator import WholeImage


def build_estimator(
    source: ModelSource,
    *,
    device: str = "cpu",
    precision: str = "auto",
    engine: str = "torch",
    flip: bool | None = None,
    batch_people: int = 32,
    score_threshold: float | None = None,
    max_people: int | None = None,
) -> TopDown | WholeImage:
    """The estimator of a pose model, its weights loaded.

    Args:
        engine, batch_people: of top-down models.
        score_threshold, max_people: limits on the people that models for whole images find.

    Raises:
        UserError: no estimator for this kind of model, or the model cannot be built.
    """
    if needs_boxes(source):
        from annotator.models.topdown import TopDown

        return TopDown(
            source, device=device, precision=precision, engine=engine, flip=flip, batch_people=batch_people
        )
    from annotator.models.whole_image.estimator import WholeImage

    return WholeImage(
        source,
        device=device,
        precision=precision,
        flip=flip,
        score_threshold=score_threshold,
        max_people=max_people,
    )
