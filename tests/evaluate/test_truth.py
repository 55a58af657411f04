"""Reading ground truth: in any order of its parts, and in memory that does not grow with the file."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from annotator.errors import UserError
from annotator.evaluate.truth import read_truth

JOBS = Path(__file__).resolve().parents[2] / "jobs"

IMAGES = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
PERSON = {"image_id": 2, "category_id": 1, "bbox": [1, 2, 30, 40.5], "keypoints": [5, 6, 2] * 17}


def write(path: Path, **document) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_parts_may_come_in_any_order_and_fields_may_be_left_out(tmp_path) -> None:
    path = write(
        tmp_path / "gt.json",
        annotations=[PERSON, {**PERSON, "category_id": 7}, {**PERSON, "image_id": 99}],
        info={"images": [{"id": 1}]},
        categories=[{"id": 7, "name": "dog"}, {"id": 1, "name": "person", "keypoints": ["nose"]}],
        images=IMAGES,
    )
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    truth = read_truth(path, [(5, "x/b.jpg")], 17)
    people = truth.of(2)
    assert truth.matching.gt_of == {5: 2} and truth.matching.not_in_run == 1
    assert truth.joint_names == ("nose",) and len(truth.of(1)) == 0
    np.testing.assert_array_equal(people.bboxes, [[1, 2, 30, 40.5]])
    assert people.areas[0] == 30 * 40.5 and people.num_keypoints[0] == 17 and not people.crowd[0]


def test_null_is_like_a_field_left_out(tmp_path) -> None:
    nulls = dict.fromkeys(("area", "num_keypoints", "iscrowd"))
    path = write(
        tmp_path / "gt.json",
        images=IMAGES,
        annotations=[{**PERSON, **nulls}, {**PERSON, **nulls, "keypoints": None}],
        categories=[{"id": 1, "name": "person"}],
    )
    people = read_truth(path, [(2, "b.jpg")], 17).of(2)
    assert people.areas.tolist() == [30 * 40.5] * 2
    assert people.num_keypoints.tolist() == [17, 0] and not people.crowd.any()


def test_ids_may_stand_in_quotes(tmp_path) -> None:
    """Of images, of annotations and of the category: a mixture means the same as plain numbers."""
    path = write(
        tmp_path / "gt.json",
        images=[{"id": "1", "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        annotations=[
            {**PERSON, "image_id": "1", "category_id": "1"},
            {**PERSON, "image_id": "2"},
            {**PERSON, "image_id": 2.0, "category_id": "7"},
        ],
        categories=[{"id": "1", "name": "person"}, {"id": 7, "name": "dog"}],
    )
    truth = read_truth(path, [(1, "a.jpg"), (2, "b.jpg")], 17)
    assert {image: len(people) for image, people in truth.people.items()} == {1: 1, 2: 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": "one"}, "annotation 5: 'one' is not an image id"),
        ({"category_id": None}, "annotation 5: None is not a category id"),
        ({"bbox": []}, "annotation 5: bbox is []; expected [x, y, width, height]"),
        ({"bbox": None}, "annotation 5: bbox is None"),
        ({"bbox": [1, 2, 3, "wide"]}, "annotation 5: bbox is [1, 2, 3, 'wide']"),
        ({"bbox": [1, 2, None, 4]}, "annotation 5: bbox is [1, 2, None, 4]"),
        ({"keypoints": {"nose": [1, 2]}}, "annotation 5: keypoints are {'nose': [1, 2]}"),
        ({"keypoints": [5, None, 2] * 17}, "annotation 5: keypoints are [5, None, 2"),
        ({"area": "large"}, "annotation 5: area is 'large'; expected square pixels"),
        ({"area": [7, 8]}, "annotation 5: area is [7, 8]"),
        ({"num_keypoints": "many"}, "annotation 5: 'many' is not a number of keypoints"),
    ],
)
def test_what_an_annotation_has_wrong_is_said(tmp_path, change: dict, message: str) -> None:
    path = write(
        tmp_path / "gt.json",
        images=IMAGES,
        annotations=[{**PERSON, "id": 5, **change}],
        categories=[{"id": 1, "name": "person"}],
    )
    with pytest.raises(UserError, match=re.escape(message)):
        read_truth(path, [(2, "b.jpg")], 17)


def test_names_that_images_outside_the_run_share_stay_ambiguous(tmp_path) -> None:
    images = [{"id": 1, "file_name": "x/a.jpg"}, {"id": 2, "file_name": "y/a.jpg"}]
    path = write(
        tmp_path / "gt.json",
        images=[*images, {"id": 3, "file_name": "b.jpg"}],
        annotations=[PERSON],
        categories=[{"id": 1, "name": "person"}],
    )
    truth = read_truth(path, [(50, "a.jpg"), (51, "b.jpg")], 17)
    assert truth.matching.gt_of == {51: 3} and truth.matching.unmatched == ("a.jpg",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ('{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{', "is not JSON"),
        ("[1, 2]", "no images and categories"),
        ('{"images": [{"id": "one", "file_name": "a.jpg"}]}', "not an image id"),
        ('{"images": [7], "annotations": [], "categories": []}', "lacks 'id'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "gt.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_truth(path, [(1, "a.jpg")], 17)


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch) -> None:
    """The same ten images in 3 MB and in 60 MB of annotations; `jobs/measure_evaluation.py` does 5 GB."""
    monkeypatch.syspath_prepend(str(JOBS))
    write_big_truth = importlib.import_module("big_truth").write_big_truth
    program = (
        "import resource, sys; from annotator.evaluate.truth import read_truth; "
        "t = read_truth(sys.argv[1], [(i, f'{i:012d}.jpg') for i in range(10)], 17); "
        "assert len(t.people) == 10; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for name, megabytes in (("small", 3), ("large", 60)):
        path = write_big_truth(tmp_path / f"{name}.json", megabytes)
        assert path.stat().st_size > 0.99e6 * megabytes
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 12, peaks
