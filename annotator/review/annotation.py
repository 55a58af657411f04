"""What the App lets people edit: lines that mirror the skeletons, which this version of it cannot edit."""

from __future__ import annotations

from typing import Any

from annotator.review.fields import POSES

_LINES = {"type": "polylines", "component": "radio", "classes": ["person"], "attributes": []}


def prepare(dataset: Any) -> None:
    """Make the lines ready for the App's Annotate."""
    if POSES not in (dataset.active_label_schemas or ()):
        dataset.set_label_schemas({**(dataset.label_schemas or {}), POSES: _LINES})
        dataset.activate_label_schemas(POSES)
