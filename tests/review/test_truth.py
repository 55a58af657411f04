"""How far predictions are from the ground truth, and where its boxes stand."""

from __future__ import annotations

import datetime
import json

import numpy as np

from annotator.review.documents import Extras, documents
from annotator.review.identifiers import Identifiers
from annotator.review.mirror import mirror_of
from annotator.review.truth import read_truth
from annotator.skeletons import COCO_17
from annotator.store.snapshot import Snapshot

SIZE = (640, 480)
IDENTIFIERS = Identifiers(b"abc")


def test_people_in_a_crowd_are_neither_right_nor_wrong(make_run, picture, people, tmp_path) -> None:
    found = people([[100, 50, 60, 150], [610, 10, 20, 80]])
    run = Snapshot(make_run([picture("a.jpg", found, size=SIZE)]).commit().open())
    crowd = {"id": 1, "image_id": 1000, "iscrowd": 1, "bbox": [0, 0, 600, 300], "num_keypoints": 0}
    path = write(tmp_path, [crowd])
    (_, images, instances), truth = next(run.shards()), read_truth(run, path)
    oks, _ = truth.compare(images, instances, IDENTIFIERS)
    assert np.isnan(oks[0]) and oks[1] == 0


def test_boxes_count_from_the_corner_of_the_picture(make_run, picture, people, tmp_path) -> None:
    whole = [0, 0, *SIZE]
    run = Snapshot(make_run([picture("a.jpg", people([whole]), size=SIZE)]).commit().open())
    person = {"id": 1, "image_id": 1000, "bbox": whole, "keypoints": [319.5, 239.5, 2] * 17}
    _, images, instances = next(run.shards())
    _, labels = read_truth(run, write(tmp_path, [person])).compare(images, instances, IDENTIFIERS)
    theirs, joints, _ = labels[1000]
    assert theirs["detections"][0]["bounding_box"] == [0, 0, 1, 1]
    assert joints["keypoints"][0]["points"][0] == [0.5, 0.5]
    extras = Extras(np.zeros(1, np.float32), np.zeros(1, bool))
    now = datetime.datetime(2026, 1, 1)
    (ours,) = documents(images, instances, extras, IDENTIFIERS, mirror_of(COCO_17), now)
    assert ours["people"]["detections"][0]["bounding_box"] == [0, 0, 1, 1]


def write(folder, annotations: list[dict]) -> str:
    """A COCO file of one image."""
    image = {"id": 1000, "file_name": "a.jpg", "width": SIZE[0], "height": SIZE[1]}
    plain = {"category_id": 1, "keypoints": [0] * 51, "area": 180000}
    document = {
        "images": [image],
        "annotations": [plain | annotation for annotation in annotations],
        "categories": [{"id": 1, "name": "person"}],
    }
    path = folder / "truth.json"
    path.write_text(json.dumps(document))
    return str(path)
