"""What the App lets people edit and draw.

Lines mirror the skeletons, which this version of it cannot edit. Boxes around missed people have a field of
their own: whoever could edit a predicted box would do so for nothing, as no pull brings that back.
"""

from __future__ import annotations

from typing import Any

from annotator.review.fields import MISSED, POSES

_TYPES = {POSES: "polylines", MISSED: "detections"}


def prepare(dataset: Any) -> None:
    """Make lines and boxes ready for the App's Annotate."""
    new = [name for name in _TYPES if name not in (dataset.active_label_schemas or ())]
    if new:
        schemas = {name: _schema(_TYPES[name]) for name in new}
        dataset.set_label_schemas({**(dataset.label_schemas or {}), **schemas})
        dataset.activate_label_schemas(new)


def _schema(kind: str) -> dict[str, Any]:
    return {"type": kind, "component": "radio", "classes": ["person"], "attributes": []}
