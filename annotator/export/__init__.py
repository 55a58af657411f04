"""Other people's formats: a run's rows in, a file or folder out, streamed and put in place in one step.

Importers, and what the rows mean, belong elsewhere. A format is a function in `FORMATS`, called as
`(run, path, min_score=..., smooth=...) -> Exported`; the modules behind it are imported only then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.errors import UserError

if TYPE_CHECKING:
    from annotator.export.exported import Exported
    from annotator.store.reader import Run


def _coco(run: Run, path: str | Path, *, min_score: float = 0.0, smooth: bool = False) -> Exported:
    """COCO keypoint annotations: images, people and the person category with its skeleton."""
    from annotator.export.coco import write_coco

    return write_coco(run, path, min_score=min_score, smooth=smooth)


def _coco_results(run: Run, path: str | Path, *, min_score: float = 0.0, smooth: bool = False) -> Exported:
    """COCO results: one entry a person, all coordinates kept, as evaluation servers take them."""
    from annotator.export.coco import write_coco_results

    return write_coco_results(run, path, min_score=min_score, smooth=smooth)


def _smoothed(run: Run, path: str | Path, *, min_score: float = 0.0, smooth: bool = True) -> Exported:
    """One Parquet file of all instances, joints smoothed and raw, with the deviation of each joint."""
    from annotator.export.smoothed import write_smoothed

    return write_smoothed(run, path, min_score=min_score)


def _overlay_video(run: Run, path: str | Path, *, min_score: float = 0.0, smooth: bool = False) -> Exported:
    """A film with skeletons and identities drawn into it."""
    from annotator.export.overlay_video import write_overlay_video

    return write_overlay_video(run, path, min_score=min_score, smooth=smooth)


def _cvat(run: Run, path: str | Path, *, min_score: float = 0.0, smooth: bool = False) -> Exported:
    """CVAT for images 1.1: skeletons."""
    from annotator.export.cvat import write_cvat

    return write_cvat(run, path, min_score=min_score, smooth=smooth)


def _label_studio(run: Run, path: str | Path, *, min_score: float = 0.0, smooth: bool = False) -> Exported:
    """Label Studio: tasks with predictions."""
    from annotator.export.label_studio import write_label_studio

    return write_label_studio(run, path, min_score=min_score, smooth=smooth)


def _yolo_pose(run: Run, path: str | Path, *, min_score: float = 0.0, smooth: bool = False) -> Exported:
    """YOLO-pose: a folder of text files with data.yaml."""
    from annotator.export.yolo_pose import write_yolo_pose

    return write_yolo_pose(run, path, min_score=min_score, smooth=smooth)


def _hugging_face(
    run: Run,
    path: str | Path,
    *,
    min_score: float = 0.0,
    smooth: bool = False,
    with_images: bool = False,
) -> Exported:
    """A Hugging Face data set: a folder of Parquet files with a card."""
    from annotator.export.hugging_face import write_hugging_face

    return write_hugging_face(run, path, min_score=min_score, smooth=smooth, with_images=with_images)


FORMATS: dict[str, Callable[..., Exported]] = {
    "coco": _coco,
    "coco-results": _coco_results,
    "smoothed": _smoothed,
    "overlay-video": _overlay_video,
    "cvat": _cvat,
    "label-studio": _label_studio,
    "yolo-pose": _yolo_pose,
    "hugging-face": _hugging_face,
}


def format_writer(format_name: str, with_images: bool = False) -> Callable[..., Exported]:
    """The function of a format, called as those of `FORMATS`.

    Args:
        with_images: write the pictures too, not only their names.

    Raises:
        UserError: no such format, or one that takes no pictures.
    """
    if format_name not in FORMATS:
        raise UserError(f"--format {format_name}: known formats are {', '.join(FORMATS)}")
    if not with_images:
        return FORMATS[format_name]
    if format_name != "hugging-face":
        raise UserError(f"--with-images goes with --format hugging-face, not with {format_name}")
    return partial(FORMATS[format_name], with_images=True)
