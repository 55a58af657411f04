"""What the App lets people edit: skeletons where it can, lines that mirror them where it cannot yet."""

from __future__ import annotations

from typing import Any

from annotator.review.fields import KEYPOINTS, POSES

_LINES = {"type": "polylines", "component": "radio", "classes": ["person"], "attributes": []}


def edits_keypoints() -> bool:
    """Whether the installed FiftyOne knows how to edit keypoints; 1.22 does not."""
    from fiftyone.core.annotation import validate_label_schemas

    return "keypoints" in {
        value
        for name, value in vars(validate_label_schemas).items()
        if name.startswith("_") and value == "keypoints"
    }


def prepare(dataset: Any) -> str:
    """Make the editable field ready for the App's Annotate; its name.

    `pull` reads both fields, whichever was edited.
    """
    field = KEYPOINTS if edits_keypoints() else POSES
    if field not in (dataset.active_label_schemas or ()):
        schema = dataset.generate_label_schemas(fields=field) if field == KEYPOINTS else _LINES
        dataset.set_label_schemas({**(dataset.label_schemas or {}), field: schema})
        dataset.activate_label_schemas(field)
    return field
