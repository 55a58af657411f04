"""From results to rows."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from annotator.errors import ItemError
from annotator.items import Item
from annotator.people import Poses, Signals
from annotator.quality.signals import measured
from annotator.skeletons import COCO_17
from annotator.store.rows import RowBuilder
from annotator.store.schema import ModelRecord, Provenance
from annotator.store.visibility import ScoreThresholds

PROVENANCE = Provenance(ModelRecord("m"), None, None, config_sha256="0" * 64, plan_sha256="1" * 64)


def builder() -> RowBuilder:
    return RowBuilder(COCO_17, ScoreThresholds(), PROVENANCE)


def item(index: int) -> Item:
    return Item(index, 100 + index, f"/x/{index}.jpg", f"{index}.jpg", 0)


def test_rows_come_in_plan_order_whatever_the_order_of_work(people) -> None:
    tables = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        rows = builder()
        results = [
            people([[0, 0, 10, 20]] * 2),
            people(),
            ItemError("read", "missing", "not there"),
            people([[1, 2, 3, 4]]),
        ]
        for index in order:
            rows.add(item(index), None if index == 2 else (50, 60), results[index])
        tables.append(rows.tables())
    images, instances = tables[0]
    assert images.equals(tables[1][0]) and instances.equals(tables[1][1])
    assert images["status"].to_pylist() == ["ok", "empty", "error", "ok"]
    assert images["num_instances"].to_pylist() == [2, 0, 0, 1]
    assert images["width"].to_pylist() == [50, 50, None, 50]
    assert images["error_message"].to_pylist() == [None, None, "not there", None]
    assert instances["id"].to_pylist() == [1, 2, 3 << 12 | 1]
    assert instances["image_id"].to_pylist() == [100, 100, 103]
    assert instances["person_index"].to_pylist() == [0, 1, 0]


def test_values_are_kept_as_they_are(people) -> None:
    rng = np.random.default_rng(0)
    poses = people(rng.uniform(0, 300, (3, 4)), rng.uniform(-50, 700, (3, 17, 2)), rng.uniform(0, 1.2, 3))
    rows = builder()
    rows.add(item(0), (640, 480), poses)
    table = rows.tables()[1]
    xyv = np.array(table["keypoints"].to_pylist(), np.float32).reshape(3, 17, 3)
    assert (xyv[..., :2] == poses.keypoints).all()
    assert (np.array(table["bbox"].to_pylist()) == poses.bboxes).all()
    assert (np.array(table["keypoint_scores"].to_pylist(), np.float32) == poses.keypoint_scores).all()
    assert table["score"].to_numpy() == pytest.approx(poses.scores)
    assert table["area"].to_numpy() == pytest.approx(poses.bboxes[:, 2] * poses.bboxes[:, 3])
    assert (table["num_keypoints"].to_numpy() == (xyv[..., 2] > 0).sum(axis=1)).all()
    assert table["keypoint_probs"].null_count == 3
    assert json.loads(table.schema.metadata[b"pose"])["visibility"]["policy"] == "score-thresholds"


@pytest.mark.parametrize(
    ("score", "x", "y", "v"),
    [
        (0.3, 10, 10, 2), (0.2999, 10, 10, 1), (0.05, 10, 10, 1), (0.0499, 10, 10, 0), (1.3, 10, 10, 2),
        (0.9, -0.5, 10, 2), (0.9, -0.51, 10, 0), (0.9, 10, 59.4, 2), (0.9, 10, 59.5, 0), (0.9, 49.5, 0, 0),
    ],
)  # fmt: skip
def test_visibility_by_score_and_only_inside_the_image(score: float, x: float, y: float, v: int) -> None:
    one = Poses(
        np.zeros((1, 4)),
        np.ones(1),
        np.array([[[x, y]]], np.float32),
        np.array([[score]], np.float32),
        np.ones(1),
    )
    found = ScoreThresholds()(one, 50, 60)
    assert found.tolist() == [[v]] and found.dtype == np.int8


@pytest.mark.parametrize("field", ["keypoints", "keypoint_scores", "scores", "bboxes", "bbox_scores"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_become_an_error_row(people, field: str, value: float) -> None:
    poses = people([[0, 0, 10, 20]] * 2)
    array = getattr(poses, field).copy()
    array.flat[1] = value
    rows = builder()
    rows.add(item(0), (50, 60), replace(poses, **{field: array}))
    images, instances = rows.tables()
    assert images["error_kind"].to_pylist() == ["not_finite"] and instances.num_rows == 0


@pytest.mark.parametrize("without", [0, 1])
def test_what_only_some_images_have_is_null_in_the_others(people, without: int) -> None:
    """As of a cascade whose first model tells less than its second."""
    n, joints = 2, 17
    each = np.full((n, joints), 0.5, np.float32)
    poses = replace(
        people([[0, 0, 10, 20]] * n),
        keypoint_entropies=each,
        halves=np.zeros((n, 2, joints, 2), np.float32),
        keypoint_probs=each,
        second_oks=each[:, 0],
        keypoint_agreement=each,
        posed_by=np.array(["a", "bc"]),
    )
    full = measured(poses, COCO_17, (192, 256))
    assert full.signals is not None
    # Who is nobody's duplicate has a null there anyhow.
    told = [one.name for one in fields(Signals) if one.name != "duplicate_of"]
    told += ["keypoint_entropies", "keypoint_probs", "second_oks", "keypoint_agreement", "posed_by"]
    rows = builder()
    rows.add(item(without), (50, 60), people([[0, 0, 10, 20]]))
    rows.add(item(1 - without), (50, 60), full)
    table = rows.tables()[1]
    assert table.num_rows == 3
    for name in told:
        nulls = [value is None for value in table[name].to_pylist()]
        assert nulls == [place == 2 * without for place in range(3)], name
    assert [value for value in table["posed_by"].to_pylist() if value] == ["a", "bc"]


def test_mistakes_of_the_caller_are_told(people) -> None:
    rows = builder()
    rows.add(item(0), (50, 60), people())
    with pytest.raises(ValueError, match="has a row already"):
        rows.add(item(0), (50, 60), people())
    with pytest.raises(ValueError, match="no image size"):
        rows.add(item(1), None, people())
    with pytest.raises(ValueError, match="do not fit the 17 joints"):
        rows.add(item(1), (50, 60), people([[0, 0, 1, 1]], joints=16))
