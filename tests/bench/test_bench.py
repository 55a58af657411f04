"""The benchmark's own arithmetic: what agrees, what is timed, what is said; no model is run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from annotator.bench.agreement import Agreement, compare
from annotator.bench.contest import Result, compete
from annotator.bench.photos import Photo, photos_of
from annotator.bench.sides import MMPoseLoop, People, Rtmlib
from annotator.bench.table import describe, markdown
from annotator.errors import UserError


def people(boxes: list[list[float]], shift: float = 0.0, score: float = 0.9) -> People:
    array = np.array(boxes, np.float64).reshape(-1, 4)
    return People(array, np.full(len(array), score), np.full((len(array), 17, 2), 5.0) + shift)


def test_people_are_matched_by_their_boxes_and_compared_in_pixels() -> None:
    ours = [people([[0, 0, 9, 9], [20, 20, 30, 30]]), people([])]
    theirs = [people([[20, 20, 30, 30.2], [0, 0, 9, 9]], shift=3.0), people([])]
    found = compare(ours, theirs)
    assert found == Agreement(2, 0, *[pytest.approx(3 * 2**0.5)] * 3)


def test_people_of_one_side_only_are_counted() -> None:
    found = compare([people([[0, 0, 9, 9], [0, 0, 9, 9]])], [people([[0, 0, 9, 9], [50, 0, 60, 9]])])
    assert (found.people, found.alone) == (1, 2)
    assert compare([people([])], [people([[0, 0, 1, 1]])]) == Agreement(0, 1, 0.0, 0.0, 0.0)


def test_only_a_score_on_the_threshold_excuses_a_box_of_one_side() -> None:
    both = people([[0, 0, 9, 9]])
    for score, alone, rounded in ((0.30009, 0, 1), (0.3002, 1, 0), (0.9, 1, 0)):
        one = people([[0, 0, 9, 9]]), people([[5, 5, 20, 20]], score=score)
        for sides in ((one, (both, people([]))), ((both, people([])), one)):
            found = compare(*sides, threshold=0.3)
            assert (found.people, found.alone, found.on_threshold) == (1, alone, rounded)
    assert compare([people([[5, 5, 20, 20]], score=0.3)], [people([])]).alone == 1


def test_mmdetections_boxes_end_at_the_photos_edge_as_ours_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import mmdet.apis
    import torch
    from mmengine.structures import InstanceData

    boxes = torch.tensor([[-3.0, 2, 50, 45], [1, 1, 9, 9], [2, 2, 8, 8]])
    found = InstanceData(bboxes=boxes, scores=torch.tensor([0.9, 0.8, 0.2]), labels=torch.tensor([0, 1, 0]))
    monkeypatch.setattr(
        mmdet.apis, "inference_detector", lambda network, pixels: SimpleNamespace(pred_instances=found)
    )
    loop = MMPoseLoop.__new__(MMPoseLoop)
    loop._detector, loop._threshold = None, 0.3
    kept, scores = loop._detect(np.zeros((40, 60, 3), np.uint8))
    assert kept.tolist() == [[0, 2, 50, 40]] and scores.tolist() == [pytest.approx(0.9)]


def test_mmpose_is_timed_as_torch_comes_and_compared_as_our_networks_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Off in this process, as soon as a network of ours is on a GPU, it would slow a user's loop."""
    import torch

    from annotator.models.openmmlab.mmlab import prepare

    prepare()
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    seen = []
    monkeypatch.setattr("mmcv.imread", lambda path: seen.append(torch.backends.cudnn.allow_tf32))
    loop = MMPoseLoop.__new__(MMPoseLoop)
    photo = Photo("a.jpg", np.zeros((0, 4)))
    for run in (loop, loop.exactly):
        assert [len(one.boxes) for one in run([photo])] == [0]
    assert seen == [True, False] and torch.backends.cudnn.allow_tf32 is False


class Fake:
    """A side that takes so many seconds of a clock of its own."""

    def __init__(self, name: str, seconds: list[float], now: list[float], turns: list[str]) -> None:
        self.name, self._seconds, self._now, self._turns = name, iter([1, *seconds]), now, turns

    def __call__(self, photos):
        self._turns.append(f"{self.name} {len(photos)}")
        self._now[0] += next(self._seconds)
        return [people([[0, 0, 9, 9], [1, 1, 5, 5]]) for _ in photos]


def test_sides_take_turns_after_a_warm_up_and_the_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now, turns, heard = [0.0], [], []
    monkeypatch.setattr("annotator.bench.contest.time.perf_counter", lambda: now[0])
    photos = [Photo(str(i), None) for i in range(16)]
    slow, fast = Fake("slow", [8, 9, 40], now, turns), Fake("fast", [2, 3, 4], now, turns)
    theirs, ours, _, found = compete(slow, fast, photos, 3, heard.append)
    assert turns == ["slow 2", "fast 16", *["slow 16", "fast 16"] * 3] and len(heard) == 6
    assert (theirs.rate, ours.rate, ours.people, len(found)) == (32 / 9, 32 / 3, 32, 16)
    assert theirs.spread == pytest.approx(32 / 9)
    settings = {
        "flip": True,
        "weights": "trained",
        "engine": "onnx",
        "precision": "fp32",
    }
    agreement = compare(found, found)
    result = Result("m", theirs, ours, agreement, None, 16.0, {"decode": 1.0}, {"threads": 2}, settings)
    assert result.speedup == 4 and result.efficiency == pytest.approx(2 / 3)
    data = json.loads(json.dumps(result.to_dict()))
    assert data["speedup_by_round"] == [4.0, 3.0, 10.0]
    assert "4.00 times as fast (3.00 to 10.00)" in describe(data)
    assert "| m, flip | onnx fp32 | slow 3.56 | 10.67 | **4.00** |" in markdown([data])


def test_one_side_may_look_at_the_photos_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now, turns = [0.0], []
    monkeypatch.setattr("annotator.bench.contest.time.perf_counter", lambda: now[0])
    slow, fast = Fake("slow", [8, 8], now, turns), Fake("fast", [2, 4], now, turns)
    theirs, ours, expected, found = compete(slow, fast, [Photo("a", None)] * 4, 2, turns.append, repeat=3)
    assert [turn for turn in turns if turn[0] == "f"] == ["fast 12"] * 3
    assert (theirs.photos, ours.photos, theirs.rate, ours.rate) == (4, 12, 1, 8)
    assert len(found) == len(expected) == 4
    result = Result("m", theirs, ours, compare(found, expected), None, None, {}, {}, {})
    assert result.ratios == [12, 6]


def test_photos_bring_their_boxes_and_no_more_people_than_asked(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        cv2.imwrite(str(tmp_path / name), np.zeros((40, 60, 3), np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"no")
    truth = tmp_path / "truth.json"
    annotations = [
        {"image_id": i, "bbox": [1, 2, 10, 20], "iscrowd": int(crowd)}
        for i, crowd in ((1, False), (1, True), (2, False), (2, False))
    ]
    images = [{"id": i, "file_name": name} for i, name in enumerate(("a.jpg", "b.jpg", "c.jpg"))]
    truth.write_text(json.dumps({"images": images, "annotations": annotations}))
    found = photos_of(str(tmp_path), str(truth), False, 2)
    assert [Path(photo.path).name for photo in found] == ["b.jpg", "c.jpg"]
    assert [photo.boxes.tolist() for photo in found if photo.boxes is not None] == [[[1, 2, 11, 22]]] * 2
    assert [
        len(one.boxes) for one in photos_of(str(tmp_path), None, False, None) if one.boxes is not None
    ] == [2] * 3
    assert [photo.boxes for photo in photos_of(str(tmp_path), None, True, 2)] == [None, None]
    with pytest.raises(UserError, match="no such folder"):
        photos_of(str(tmp_path / "absent"), None, False, None)
    with pytest.raises(UserError, match="COCO"):
        photos_of(str(tmp_path), str(tmp_path / "broken.jpg"), False, None)


def test_rtmlib_does_not_race_on_another_device_than_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fallen_back(path: str, *, device: str, **_: object) -> SimpleNamespace:
        asked.append(device)
        return SimpleNamespace(session=SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"]))

    monkeypatch.setattr("rtmlib.RTMPose", fallen_back)
    assert Rtmlib("net.onnx", (192, 256), "cpu").name == "rtmlib"
    with pytest.raises(UserError, match=r"took CPUExecutionProvider for it on cuda:1.*onnxruntime-gpu"):
        Rtmlib("net.onnx", (192, 256), "cuda:1")
    assert asked == ["cpu", "cuda:1"]
