"""How far predictions are from the ground truth, and where its boxes stand."""

from __future__ import annotations

import json

import numpy as np

from annotator.review.identifiers import Identifiers
from annotator.review.truth import read_truth
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
