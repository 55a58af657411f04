"""Other people's formats: a run's rows in, a file or folder out, streamed and put in place in one step.

Importers, and what the rows mean, belong elsewhere. A format is a function in `FORMATS`, called as
`(run, path, min_score=...) -> Exported`; the modules behind it are imported only then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.errors import UserError

if TYPE_CHECKING:
    from annotator.export.exported import Exported
    from annotator.store.reader import Run


def _writer(module: str, function: str) -> Callable[..., Exported]:
    """A function of a module of this package, which is imported when it is called."""

    def write(run: Run, path: str | Path, **options: Any) -> Exported:
        return getattr(import_module(f"{__name__}.{module}"), function)(run, path, **options)

    return write


FORMATS: dict[str, Callable[..., Exported]] = {
    "coco": _writer("coco", "write_coco"),
    "coco-results": _writer("coco", "write_coco_results"),
    "smoothed": _writer("smoothed", "write_smoothed"),
    "overlay-video": _writer("overlay_video", "write_overlay_video"),
    "cvat": _writer("cvat", "write_cvat"),
    "label-studio": _writer("label_studio", "write_label_studio"),
    "yolo-pose": _writer("yolo_pose", "write_yolo_pose"),
    "hugging-face": _writer("hugging_face", "write_hugging_face"),
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
