"""The parts of the demo models' training that are ours: data, transforms, targets, steps, schedule, loss."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from annotator.synth.body import FOREARM, HEAD, SHIN, THIGH, UPPER_ARM

JOB = Path(__file__).resolve().parents[2] / "jobs" / "train_demo"


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    from annotator.models.openmmlab.mmlab import prepare

    prepare()
    monkeypatch.setattr(sys, "path", [str(JOB), *sys.path])

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    torch.set_flush_denormal(False)  # training sets it, for the whole process


def dotted(joints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A black picture of (width, height) with a white dot at each joint."""
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    for x, y in joints:
        cv2.circle(picture, (round(float(x)), round(float(y))), 2, (255, 255, 255), -1)
    return picture


JOINTS = np.array([[60 + 7 * i, 40 + 9 * (i % 6)] for i in range(17)], np.float64)


NOSE, LEFT_ELBOW, RIGHT_ELBOW, LEFT_KNEE, RIGHT_KNEE = 0, 7, 8, 13, 14
CLOTH_CLASS = 16
# Classes are the body model's parts plus one; garments that hang free have one of their own.
AROUND = {
    NOSE: {HEAD + 1},
    LEFT_ELBOW: {UPPER_ARM[0] + 1, FOREARM[0] + 1},
    RIGHT_ELBOW: {UPPER_ARM[1] + 1, FOREARM[1] + 1},
    LEFT_KNEE: {THIGH[0] + 1, SHIN[0] + 1, CLOTH_CLASS},
    RIGHT_KNEE: {THIGH[1] + 1, SHIN[1] + 1, CLOTH_CLASS},
}


@pytest.fixture(scope="module")
def people():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(JOB), *sys.path])
        make_picture = importlib.import_module("make_arrays").make_picture
        return [person for index in range(12) for person in make_picture((7, index)).people]


def on_their_parts(keypoints: np.ndarray, parts: np.ndarray, size: tuple[int, int]) -> list[bool]:
    """Of each visible joint of some, whether its body part is seen at its place or beside it."""
    scale = np.array(parts.shape[::-1]) / size
    hits = []
    for joint, classes in AROUND.items():
        x, y, v = keypoints[joint]
        column, row = (int(value) for value in (np.array([x, y]) + 0.5) * scale)
        if v == 2 and 0 <= column < parts.shape[1] and 0 <= row < parts.shape[0]:
            near = parts[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            hits.append(bool(classes & set(near.ravel().tolist())))
    return hits


def test_visible_joints_lie_on_their_body_parts_and_not_on_those_of_the_other_side(job, people) -> None:
    mirrored = np.array(job("topdown").MIRRORED_PARTS, np.uint8)
    right = [hit for one in people for hit in on_their_parts(one.keypoints, one.parts, (144, 192))]
    wrong = [hit for one in people for hit in on_their_parts(one.keypoints, mirrored[one.parts], (144, 192))]
    assert len(right) >= 30 and np.mean(right) > 0.97
    assert np.mean(wrong) < 0.6
    for one in people:
        x1, y1, x2, y2 = one.bbox
        assert one.pixels.shape == (192, 144, 3) and 0 < x1 < x2 < 144 and 0 < y1 < y2 < 192


def batches(job, data: Path, **settings):
    """Batches of a folder of parts, at 96x128, unless `settings` say otherwise."""
    made = job("topdown").TopdownBatches(
        **{
            "data": str(data), "batch": 32, "input_size": (96, 128), "heatmap_size": (24, 32), "sigma": 1.5,
            "shift": 0.05, "scale": (0.8, 1.25), "turn": 30, "nobody": 0.0, "jumbled": 0.0, "perturb": 0.0,
            **settings,
        }
    )  # fmt: skip
    made.dataset.look()
    return made


def test_turned_scaled_and_mirrored_they_still_do(job, people, tmp_path: Path) -> None:
    job("make_arrays").write_people(tmp_path / "people" / "000000", people)
    torch.manual_seed(0)
    topdown = batches(job, tmp_path)
    hits, mirrored = [], 0
    for _ in range(2):
        crops = topdown.dataset.draw(32, 0)
        regions = topdown.regions(crops.boxes)
        inputs, parts = topdown.cut(crops, regions)
        joints, known = topdown.joints(crops, regions)
        assert inputs.shape == (32, 3, 128, 96) and parts.shape == (32, 32, 24)
        assert joints.shape == (32, 17, 2) and set(known.unique().tolist()) <= {0.0, 1.0}
        mirrored += int(regions.mirrored.sum())
        for one in range(32):
            same = (
                (crops.pixels[one] == torch.from_numpy(np.stack([p.pixels for p in people])))
                .flatten(1)
                .all(1)
            )
            visible = people[int(same.nonzero()[0])].keypoints[:, 2]
            if regions.mirrored[one]:
                visible = visible[list(job("topdown").FLIPPED)]
            seen = np.column_stack([joints[one].numpy(), visible])
            hits += on_their_parts(seen, parts[one].numpy(), (96, 128))
    assert len(hits) >= 60 and np.mean(hits) > 0.97
    assert 16 <= mirrored <= 48


def test_joints_stay_on_what_they_show_when_people_are_turned_and_mirrored(job, tmp_path: Path) -> None:
    picture = dotted(JOINTS * 0.6, (144, 192))
    keypoints = np.column_stack([JOINTS * 0.6, np.full(17, 2)])
    keypoints[5] = 0  # the left shoulder is not known
    person = job("make_arrays").Person(
        picture, np.zeros((96, 72), np.uint8), keypoints, np.array([30.0, 20.0, 110.0, 110.0])
    )
    job("make_arrays").write_people(tmp_path / "people" / "000000", [person])
    torch.manual_seed(0)
    topdown = batches(job, tmp_path)
    crops = topdown.dataset.draw(20, 0)
    regions = topdown.regions(crops.boxes)
    inputs, _ = topdown.cut(crops, regions)
    joints, known = topdown.joints(crops, regions)
    assert (known.sum(1) == 16).all()
    # In the mirror image it is the right one.
    assert torch.equal(known[:, 6] == 0, regions.mirrored) and torch.equal(known[:, 5] == 1, regions.mirrored)
    assert 4 <= regions.mirrored.sum() <= 16
    inside = 0
    for image, places, sure in zip(inputs, joints, known, strict=True):
        for (x, y), there in zip(places.tolist(), sure.tolist(), strict=True):
            if there and 1 <= x <= 94 and 1 <= y <= 126:
                inside += 1
                assert image[:, round(y), round(x)].min() > 60
    assert inside >= 12 * 20


def test_boxes_stay_around_people_when_pictures_are_scaled_cut_and_mirrored(job) -> None:
    np.random.seed(0)
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[60:180, 100:160] = 255
    seen = 0
    for scale in ((0.4, 0.6), (0.9, 1.3)):
        for _ in range(15):
            out = (
                job("pictures")
                .RandomView((320, 256), scale, smallest=5)
                .transform(
                    {
                        "img": picture,
                        "gt_bboxes": np.array([[100, 60, 160, 180]], np.float32),
                        "gt_bboxes_labels": np.zeros(1, np.int64),
                        "gt_ignore_flags": np.zeros(1, bool),
                    }
                )
            )
            assert out["img"].shape == (256, 320, 3)
            white = (out["img"] > 150).all(-1)
            assert len(out["gt_bboxes"]) == len(out["gt_bboxes_labels"]) == len(out["gt_ignore_flags"]) <= 1
            if len(out["gt_bboxes"]):
                seen += 1
                rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
                around = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
                assert out["gt_bboxes"][0] == pytest.approx(around, abs=1.01)
    assert seen > 20


def test_parts_are_finished_one_by_one_and_kept(job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_arrays = job("make_arrays")
    monkeypatch.setattr(make_arrays, "PART", 2)
    monkeypatch.setattr(sys, "argv", ["make_arrays.py", str(tmp_path), "--images", "4", "--workers", "1"])
    make_arrays.main()
    residents = job("people").Residents(tmp_path, torch.device("cpu"), fewest=1)
    assert (
        residents.look() == len(list(tmp_path.glob("people/*"))) + len(list(tmp_path.glob("nobody/*"))) >= 3
    )
    assert len(residents) > 0 and residents.look() == 0
    pictures = job("pictures").PictureArrays([str(tmp_path / "pictures" / "000002")], [])
    assert len(pictures) == 2 and pictures[0]["img"].shape == (300, 400, 3)
    expected = [len(make_arrays.make_picture((1, index)).boxes) for index in (2, 3)]
    assert [len(sample["gt_bboxes"]) for sample in pictures] == expected
    before = (tmp_path / "people" / "000000" / "pixels.npy").stat().st_mtime_ns
    make_arrays.main()
    assert (tmp_path / "people" / "000000" / "pixels.npy").stat().st_mtime_ns == before


def test_parts_that_are_finished_later_join_and_too_hidden_people_do_not(job, people, tmp_path: Path) -> None:
    make_arrays = job("make_arrays")
    residents = job("people").Residents(tmp_path, torch.device("cpu"), fewest=8)
    assert residents.look() == 0 and len(residents) == 0
    in_view = [(one.keypoints[:, 2] == 2).sum() for one in people]
    make_arrays.write_people(tmp_path / "people" / "000000", people[:6])
    assert residents.look() == 1
    make_arrays.write_people(tmp_path / "people" / "000100", people[6:])
    make_arrays.write_nobody(
        tmp_path / "nobody" / "000100", [make_arrays.Nobody(people[0].pixels, people[0].bbox)] * 3
    )
    assert residents.look() == 2
    kept = [one for one, count in zip(people, in_view, strict=True) if count >= 8]
    assert len(residents) == len(kept) < len(people) and len(residents.empty) == 3
    rows = residents.crops.pixels[residents.people]
    assert torch.equal(rows, torch.from_numpy(np.stack([one.pixels for one in kept])))
    drawn = residents.draw(5, 4)
    assert drawn.nobody.tolist() == [False] * 5 + [True] * 4
    assert (drawn.known[5:] == 0).all() and (drawn.parts[5:] == 0).all()


def test_boxes_of_nobody_are_free_of_people_and_of_many_shapes(job) -> None:
    rng = np.random.default_rng(0)
    people = np.array([[100, 60, 160, 220], [0, 0, 400, 20]], np.float32)
    boxes = [job("nobody").empty_box(rng, (400, 300), people) for _ in range(300)]
    found = np.array([box for box in boxes if box is not None])
    assert len(found) > 200
    assert (found[:, :2] >= 0).all() and (found[:, 2:] <= (400, 300)).all()
    for x1, y1, x2, y2 in found:
        columns, rows = min(x2, 160) - max(x1, 100), min(y2, 220) - max(y1, 60)
        shared = max(columns, 0) * max(rows, 0)
        assert shared <= 0.11 * (x2 - x1) * (y2 - y1) and shared <= 0.26 * 60 * 160
    shapes = (found[:, 2] - found[:, 0]) / (found[:, 3] - found[:, 1])
    assert shapes.min() < 0.5 and shapes.max() > 1.4
    everywhere = np.array([[0, 0, 400, 300]], np.float32)
    assert job("nobody").empty_box(rng, (400, 300), everywhere) is None


def test_where_nobody_is_every_heatmap_is_asked_for_and_empty(job, people, tmp_path: Path) -> None:
    make_arrays = job("make_arrays")
    made = [make_arrays.make_picture((1, index)) for index in range(6)]
    nobody = [one for picture in made for one in picture.nobody]
    assert len(nobody) >= 3
    make_arrays.write_people(tmp_path / "people" / "000000", people)
    make_arrays.write_nobody(tmp_path / "nobody" / "000000", nobody)

    def learnt(**settings: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch = batches(job, tmp_path, perturb=0.5, **settings).made()["data_samples"]
        peaks = batch["heatmaps"].flatten(2).amax(2)
        return batch["weights"], peaks[:, :17].amax(1), peaks[:, 17]

    torch.manual_seed(0)
    weights, peaks, parts = learnt(nobody=0.5)
    assert (weights[16:] == 1).all() and (peaks[16:] == 0).all() and (parts[16:] == 0).all()
    assert (peaks[:16] > 0.5).all() and (parts[:16] > 0).all()
    weights, peaks, parts = learnt(jumbled=1.0)
    assert (weights == 1).all() and (peaks == 0).all() and (parts == 0).all()


def test_jumbled_people_keep_their_colours_and_lose_their_shape(job) -> None:
    jumble = job("jumble")
    torch.manual_seed(0)
    picture = np.zeros((128, 96, 3), np.uint8)
    cv2.circle(picture, (48, 30), 20, (200, 120, 40), -1)
    cv2.rectangle(picture, (36, 50), (60, 120), (40, 40, 220), -1)
    images = torch.from_numpy(picture).permute(2, 0, 1).float().repeat(10, 1, 1, 1)
    for make in (jumble.tiles, jumble.blobs, jumble.jumble):
        out = make(images)
        assert out.shape == images.shape and out.min() >= 0 and out.max() <= 255
        assert ((out - images).abs().mean((1, 2, 3)) > 20).all()
        assert (out[0] != out[1]).any()
    assert torch.equal(jumble.tiles(images).flatten(2).sort()[0], images.flatten(2).sort()[0])


def test_targets_are_those_of_mmpose(job, tmp_path: Path) -> None:
    from mmpose.codecs import UDPHeatmap

    settings = {"input_size": (96, 128), "heatmap_size": (24, 32), "sigma": 2.0}
    keypoints = np.random.default_rng(0).uniform(-6, 130, (1, 17, 2)).astype(np.float32)
    visible = np.ones((1, 17), np.float32)
    visible[0, 3] = 0
    topdown = batches(job, tmp_path, **settings)
    heatmaps, weights = topdown.targets(torch.from_numpy(keypoints), torch.from_numpy(visible))
    theirs = UDPHeatmap(**settings).encode(keypoints, visible)
    assert (weights.numpy() == theirs["keypoint_weights"]).all()
    # MMPose cuts the hill off three sigmas from the joint, in a square.
    assert np.abs(heatmaps[0].numpy() - theirs["heatmaps"]).max() < 0.012


def test_averages_are_those_of_mmpose(job) -> None:
    from mmpose.engine.hooks import ExpMomentumEMA

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    ours = job("averages").ForeachEMA(network, momentum=0.1, gamma=5)
    theirs = ExpMomentumEMA(network, momentum=0.1, gamma=5, update_buffers=True)
    for _ in range(4):
        for average in (ours, theirs):
            average.update_parameters(network)
        with torch.no_grad():
            for values in (*network.parameters(), network[1].running_var):
                values.add_(torch.randn_like(values))
    for name, values in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], values, atol=1e-6), name


def test_each_step_of_a_matrix_is_near_orthogonal_and_goes_down(job) -> None:
    import torch

    muon = job("muon")
    for shape in ((8, 72), (40, 10)):
        torch.manual_seed(0)
        singular = torch.linalg.svdvals(muon.orthogonal(torch.randn(shape)))
        assert singular.min() > 0.5 and singular.max() < 1.5
    layer = torch.nn.Conv2d(3, 4, 3)
    x, y = torch.randn(8, 3, 6, 6), torch.randn(8, 4, 4, 4)
    optimizer = muon.MuonAdamW(layer.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.mse_loss(layer(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]
    assert layer.weight.dtype == torch.float32


def test_perturbation_keeps_the_shape_and_is_not_idle(job) -> None:
    cameras = job("cameras")
    torch.manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 60, 44)).float()
    before = images.clone()
    out = cameras.Perturb()(images)
    assert torch.equal(images, before) and out.shape == images.shape and out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 255 and torch.equal(out, out.round())
    assert (out != images).flatten(1).any(1).sum() > 30
    assert torch.equal(cameras.Perturb(amount=0.0)(images), images)
    # Under autocast too, where the detector's network runs.
    with torch.autocast("cpu", torch.bfloat16):
        assert cameras.Perturb()(images).dtype == torch.float32


def test_each_perturbation_does_what_it_says(job) -> None:
    cameras = job("cameras")
    torch.manual_seed(0)
    flat = torch.full((6, 3, 40, 32), 120.0)
    for change in (cameras.defocus, cameras.shake, cameras.enlarge, cameras.compress):
        assert change(flat) == pytest.approx(flat, abs=4.0)  # nothing to blur, nothing to lose
    assert cameras.add_noise(flat).std((1, 2, 3)).min() > 1.5
    noisy = torch.rand(6, 3, 40, 32) * 255
    for change in (cameras.defocus, cameras.shake, cameras.enlarge):
        assert (change(noisy).flatten(1).std(1) < 0.95 * noisy.flatten(1).std(1)).all()
    swapped = cameras.swap_channels(noisy)
    assert torch.equal(swapped.sort(1)[0], noisy.sort(1)[0])
    covered = (cameras.cover(noisy, largest=0.4) != noisy).any(1).float().mean((1, 2))
    assert (covered > 0).all() and (covered < 0.6).all()


def test_compression_loses_what_jpeg_loses(job) -> None:
    """Beside OpenCV's JPEG of the same quality, chroma in full resolution."""
    cameras = job("cameras")
    people = job("make_arrays").make_picture((7, 0)).people
    for seed, one in enumerate(people[:2]):
        images = torch.from_numpy(one.pixels).permute(2, 0, 1).float()[None]
        torch.manual_seed(seed)
        quality = round(float(15 + torch.rand(1) * 45))
        torch.manual_seed(seed)
        ours = cameras.compress(images)[0].permute(1, 2, 0).clamp(0, 255).numpy()
        settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
        theirs = cv2.imdecode(cv2.imencode(".jpg", one.pixels, settings)[1], cv2.IMREAD_COLOR)
        lost = np.abs(theirs.astype(float) - one.pixels).mean()
        assert np.abs(ours - theirs).mean() < 0.35 * lost + 0.3


def test_the_rate_warms_up_holds_and_comes_down(job) -> None:
    schedule = job("schedule").MinutesSchedule(minutes=10, warmup=100, decay=0.5)
    assert schedule.factor(0, 0) == pytest.approx(0.01)
    assert schedule.factor(99, 60) == 1.0
    assert schedule.factor(5000, 299) == 1.0
    assert schedule.factor(5000, 450) == pytest.approx(0.5)
    assert schedule.factor(5000, 700) == pytest.approx(0.01)
    assert job("schedule").MinutesSchedule(minutes=10, decay=0).factor(5000, 599) == 1.0


def test_the_loss_weighs_joints_more_than_emptiness_and_knows_body_parts(job) -> None:
    loss = job("losses").JointsAndPartsLoss(peak=20.0, joints=1.0, parts=1.0)
    joints = torch.zeros(1, 2, 4, 4)
    joints[0, :, 1, 1] = 1.0
    classes = torch.randint(0, 3, (1, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    certain = torch.nn.functional.one_hot(classes[:, 0], 3).permute(0, 3, 1, 2) * 50.0
    target = torch.cat([joints, classes.float()], dim=1)
    known = torch.ones(1, 2)
    missed, invented = torch.zeros_like(joints), joints.clone()
    invented[0, 0, 3, 3] = 1.0

    def of(heatmaps: torch.Tensor, weights: torch.Tensor = known, parts: torch.Tensor = certain) -> float:
        return float(loss(torch.cat([heatmaps, parts], dim=1), target, weights))

    assert of(joints) == pytest.approx(0, abs=1e-6)
    assert of(missed) == pytest.approx(2 * 21 / 32)
    assert of(invented) == pytest.approx(1 / 32)
    assert of(missed, torch.tensor([[1.0, 0.0]])) == pytest.approx(21 / 32)
    assert of(joints, parts=torch.zeros_like(certain)) == pytest.approx(np.log(3))


def test_training_begins_with_what_ships_and_goes_on_where_it_stopped(job, tmp_path: Path) -> None:
    import torch

    from annotator.models.demo import POSE
    from annotator.models.weights.loading import load_state

    train, people = job("train"), np.random.default_rng(0)
    part = tmp_path / "data" / "people" / "000000"
    keypoints = people.uniform(20, 120, (64, 17, 3))
    keypoints[..., 2] = 2
    make_arrays = job("make_arrays")
    box = np.array([20, 20, 120, 170], np.float32)
    pixels = people.integers(0, 256, (64, 192, 144, 3), np.uint8)
    parts = people.integers(0, 18, (64, 96, 72)).astype(np.uint8)
    crops = [make_arrays.Person(*one, box) for one in zip(pixels, parts, keypoints, strict=True)]
    make_arrays.write_people(part, crops)
    work = tmp_path / "work"
    options = {
        "model": "pose", "data": tmp_path / "data", "work": work, "minutes": 0.001, "hold": True,
        "decay": 0.5, "input": "64x96", "weights": POSE.weights, "backbone": None,
        "batch": None, "rate": None, "resume": False, "threads": 1,
    }  # fmt: skip
    train.run(argparse.Namespace(**options))
    first = torch.load(work / "last.pth", map_location="cpu", weights_only=False)
    shipped = load_state(POSE.weights)
    name = "backbone.conv1.weight"
    assert (first["state_dict"][name] - shipped[name].float()).abs().max() < 1e-3
    # 17 joints ship; body parts are learnt anew.
    assert len(first["state_dict"]["head.final_layer.weight"]) == 17 + make_arrays.CLASSES
    assert len(job("to_safetensors").without_parts("head.final_layer.weight", torch.zeros(35, 4))) == 17
    train.run(argparse.Namespace(**{**options, "weights": None, "input": None, "resume": True}))
    second = torch.load(work / "last.pth", map_location="cpu", weights_only=False)
    assert 0 < first["meta"]["iter"] < second["meta"]["iter"]
    assert first["optimizer"]["state"] and second["optimizer"]["state"]
