"""The fields of the dataset: their names, what a reviewer sorts by, and what the App shows of them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from annotator.skeletons import Skeleton
from annotator.store.schema import INSTANCES

BOXES = "people"
KEYPOINTS = "keypoints"
POSES = "poses"
# Boxes that reviewers draw around people whom the detector missed, until these are added.
MISSED = "missed"
TRUTH_BOXES = "truth_people"
TRUTH_KEYPOINTS = "truth_keypoints"
# What a sample has of the ground truth, if there is one.
TRUTH = (TRUTH_BOXES, TRUTH_KEYPOINTS, "missed_people")

# The labels of people, and what FiftyOne calls the list of them in each field.
LISTS = {BOXES: "detections", KEYPOINTS: "keypoints", POSES: "polylines"}
# Where the labels of one field stand in a sample's document.
BOX_LIST = f"{BOXES}.detections"
KEYPOINT_LIST = f"{KEYPOINTS}.keypoints"
POSE_LIST = f"{POSES}.polylines"
MISSED_LIST = f"{MISSED}.detections"
TRUTH_LIST = f"{TRUTH_KEYPOINTS}.keypoints"

# On box and keypoints of somebody who is likely nobody, or somebody's double, and on nobody else.
DOUBTFUL = "doubtful"
# On their keypoints: the points of the line that they get once somebody accepts them.
LINE = "line"

# On the keypoints of a person: what people say about it. A load writes none of these.
DECISION = {
    "decision": "str",
    "reason": "str",
    "reviewer": "str",
    "decided_at": "datetime",
    "visible_set": "ints",
    "visible_by": "str",
    "visible_at": "datetime",
    "edited_by": "str",
    "edited_at": "datetime",
}
# On the keypoints of somebody whom a reviewer added.
ADDED = {"added_by": "str", "added_at": "datetime"}
# What a load says about a decision that was made on other rows than today's.
AGED = {"stale": "bool", "gone": "bool"}

_PERSON = {"person": "int", "risk": "float", "needs_review": "bool", "oks": "float"}
_SAMPLE = {
    "index": "int", "image_id": "int", "file_name": "str", "uri": "str", "status": "str", "shard": "int",
    "num_people": "int", "risk": "float", "missed_people": "int", "error_stage": "str", "error_kind": "str",
    "error_message": "str", "video_uri": "str", "frame_index": "int", "time": "float",
    "loaded_at": "datetime", "added": "ints",
}  # fmt: skip

# Columns of a row that have a place of their own, or no meaning for a reviewer.
_PLACED = {"id", "image_id", "category_id", "bbox", "iscrowd", "keypoints", "keypoint_scores"}


_EXAMPLES: dict[str, Any] = {
    "str": "", "int": 0, "float": 0.5, "bool": False, "floats": [0.5], "ints": [0],
    "lines": [[[0.5, 0.5]]], "datetime": datetime.datetime(2000, 1, 1),
}  # fmt: skip


def signals(joints_too: bool = True) -> dict[str, str]:
    """Every other column of a person's row and its kind, whatever a later version of the contract adds."""
    kinds = {}
    for field in INSTANCES:
        if field.name in _PLACED:
            continue
        kind = _kind(field.type)
        if kind is not None and (joints_too or kind != "floats"):
            kinds[field.name] = kind
    return kinds


def _kind(column: pa.DataType) -> str | None:
    if pa.types.is_boolean(column):
        return "bool"
    if pa.types.is_integer(column):
        return "int"
    if pa.types.is_floating(column):
        return "float"
    if pa.types.is_string(column):
        return "str"
    if pa.types.is_list(column) and pa.types.is_floating(column.value_type):
        return "floats"
    return None


def declare(dataset: Any, truth: bool) -> None:
    """Declare all fields; what is there already stays as it is.

    Args:
        dataset: a FiftyOne dataset.
        truth: whether there is ground truth.
    """
    import fiftyone as fo

    labels = {BOXES: fo.Detections, KEYPOINTS: fo.Keypoints, POSES: fo.Polylines, MISSED: fo.Detections}
    if truth:
        labels |= {TRUTH_BOXES: fo.Detections, TRUTH_KEYPOINTS: fo.Keypoints}
    wanted = _SAMPLE | {f"{MISSED_LIST}.person": "int"}
    wanted |= {
        f"{KEYPOINT_LIST}.{name}": kind
        for name, kind in (_PERSON | signals() | DECISION | ADDED | AGED).items()
    }
    wanted |= {f"{KEYPOINT_LIST}.visible": "ints"}
    wanted |= {f"{path}.person": "int" for path in (BOX_LIST, POSE_LIST)}
    wanted |= {f"{KEYPOINT_LIST}.{LINE}": "lines"}
    wanted |= {f"{path}.{DOUBTFUL}": "bool" for path in (BOX_LIST, KEYPOINT_LIST)}
    wanted |= {f"{BOX_LIST}.score": "float", f"{BOX_LIST}.drawn": "floats", f"{POSE_LIST}.drawn": "lines"}
    if truth:
        wanted |= {f"{TRUTH_LIST}.visible": "ints", f"{TRUTH_LIST}.found": "bool"}
    if wanted.keys() <= dataset.get_field_schema(flat=True).keys():
        return
    # One sample with a value in every field declares them all in one step; one by one takes seconds.
    sample = fo.Sample(filepath="/declares-fields.jpg", **{name: kind() for name, kind in labels.items()})
    lists = {BOX_LIST: fo.Detection, KEYPOINT_LIST: fo.Keypoint, POSE_LIST: fo.Polyline}
    lists[MISSED_LIST] = fo.Detection
    if truth:
        lists[TRUTH_LIST] = fo.Keypoint
    of_label = {path: kind() for path, kind in lists.items()}
    for path, kind in wanted.items():
        holder, _, name = path.rpartition(".")
        (of_label[holder] if holder else sample)[name] = _EXAMPLES[kind]
    for path, label in of_label.items():
        field, inner = path.split(".")
        setattr(sample[field], inner, [label])
    dataset.add_sample(sample, dynamic=True)
    dataset.delete_samples([sample.id])


def sortable(truth: bool) -> Iterable[str]:
    """Paths that get an index: the sliders of the sidebar answer at once, however large the dataset."""
    yield from ("index", "status", "risk", "num_people")
    names = {**_PERSON, **signals(joints_too=False), "decision": "str", "reviewer": "str"}
    if not truth:
        names.pop("oks")
    yield from (f"{KEYPOINT_LIST}.{name}" for name in names)


def skeleton_of(dataset: Any) -> Skeleton:
    """Names and edges of the joints, as `dress` left them; mirrored joints and sigmas are not kept there."""
    kept = dataset.default_skeleton
    joints = len(kept.labels)
    edges = tuple((a, b) for a, b in kept.edges)
    return Skeleton(dataset.name, tuple(kept.labels), edges, tuple(range(joints)), (0.0,) * joints)


def dress(dataset: Any, run: Any, truth: bool) -> None:
    """Skeleton, colours, and which fields the App shows at first."""
    import fiftyone as fo

    skeleton = run.skeleton
    dataset.default_skeleton = fo.KeypointSkeleton(
        labels=list(skeleton.keypoints), edges=[list(edge) for edge in skeleton.edges]
    )
    shown = [BOXES, KEYPOINTS, *([TRUTH_KEYPOINTS] if truth else [])]
    dataset.app_config.active_fields = fo.ActiveFields(paths=shown)
    decided = [
        {"value": "accepted", "color": "#2e9e5b"},
        {"value": "rejected", "color": "#d64545"},
        {"value": "sent back", "color": "#d98e04"},
    ]
    dataset.app_config.color_scheme = fo.ColorScheme(
        color_by="field",
        fields=[
            {"path": BOXES, "fieldColor": "#4a90d9"},
            {
                "path": KEYPOINTS,
                "fieldColor": "#ffb000",
                "colorByAttribute": "decision",
                "valueColors": decided,
            },
            {"path": POSES, "fieldColor": "#d13fd1"},
            {"path": MISSED, "fieldColor": "#00b3a4"},
            {"path": TRUTH_KEYPOINTS, "fieldColor": "#ffffff"},
            {"path": TRUTH_BOXES, "fieldColor": "#ffffff"},
        ],
    )
    dataset.save()
