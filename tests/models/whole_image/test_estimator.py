"""Whole-image estimators against MMPose's own `inference_bottomup`: same photos, same weights, same people.

No trained weights are at hand for these models, so random ones are tuned on photos until the network finds
some people: batch norm takes the statistics of real pictures, and the last layers give plausible outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from annotator.errors import ItemError, UserError
from annotator.models.openmmlab import mmlab
from annotator.models.openmmlab.build import build, default_scope
from annotator.models.openmmlab.configs import load_model_config
from annotator.models.sources import ModelSource, resolve_pose
from annotator.models.whole_image.estimator import WholeImage
from annotator.pose.boxes import extent
from annotator.quality.signals import measure

# Two of one size, one upright, one of another ratio.
PHOTOS = ("000000018575.jpg", "000000073326.jpg", "000000109313.jpg", "000000022192.jpg")


@dataclass(frozen=True)
class Case:
    """A model, the input size that keeps its test quick, and how its last layers are tuned.

    Attributes:
        layers: layer -> (mean, furthest from it) of its outputs on the photos, a pair for each channel or one
            for all.
    """

    name: str
    input_size: tuple[int, int]
    layers: dict[str, object] = field(default_factory=dict)


GAIN = 0.3
BOX = ((0.0, 1.0), (0.0, 1.0), (1.5, 0.5), (1.7, 0.5))
CASES = {
    case.name: case
    for case in (
        Case(
            "rtmo-s",
            (320, 320),
            {f"out_cls.{i}": (-3.0, 4.0) for i in (0, 1)}
            | {f"out_bbox.{i}": BOX for i in (0, 1)}
            | {f"out_kpt_vis.{i}": (0.0, 3.0) for i in (0, 1)}
            | {f"out_pose.{i}": (0.0, 0.1) for i in (0, 1)},
        ),
        Case(
            "yoloxpose-s",
            (320, 320),
            {f"out_cls.{i}": (-1.0, 3.0) for i in (0, 1, 2)}
            | {f"out_obj.{i}": (-3.0, 4.0) for i in (0, 1, 2)}
            | {f"out_bbox.{i}": BOX for i in (0, 1, 2)}
            | {f"out_kpt.{i}": (0.0, 4.0) for i in (0, 1, 2)}
            | {f"out_kpt_vis.{i}": (0.0, 3.0) for i in (0, 1, 2)},
        ),
        Case(
            "dekr-w32",
            (128, 128),
            {"heatmap_conv_layers.2": (0.1, 0.6), "displacement_conv_layers.3": (0.0, 15.0)},
        ),
        Case("cid-w32", (128, 128), {"keypoint_root_conv": (-4.0, 6.0), "heatmap_conv": (-3.0, 7.0)}),
        Case("ae-w32", (128, 128), {"final_layer": ((0.0, 0.15),) * 17 + ((0.0, 3.0),) * 17}),
    )
}


@pytest.fixture(scope="module")
def photos(assets) -> list[np.ndarray]:
    """Photos as RGB arrays."""
    return [cv2.imread(str(assets.photos / name))[..., ::-1].copy() for name in PHOTOS]


@pytest.fixture(scope="module")
def models(photos, tmp_path_factory):
    """Tuned models by name, each made once: `models(name) -> ModelSource`."""
    made: dict[str, ModelSource] = {}
    folder = tmp_path_factory.mktemp("models")

    def get(name: str) -> ModelSource:
        if name not in made:
            made[name] = tuned(CASES[name], photos, folder)
        return made[name]

    return get


def tuned(case: Case, photos: list[np.ndarray], folder: Path) -> ModelSource:
    """A source whose config has the case's input size, and whose weights find people."""
    try:
        source = resolve_pose(case.name, "random")
    except UserError:
        source = resolve_pose(config_of(case.name), "random")
    config = load_model_config(source.config_path, "pose")
    for loader in (config.val_dataloader, config.test_dataloader):
        for transform in loader.dataset.pipeline:
            if transform["type"] == "BottomupResize":
                transform["input_size"] = case.input_size
    path = folder / f"{case.name}.py"
    config.dump(str(path))
    source = replace(source, config_path=str(path))
    estimator = WholeImage(source)
    network = build(source, seed=3).network
    prepared = [estimator.prepare(photo).pixels for photo in photos]
    pixels = normalised(network, [one for one in prepared if one.shape == prepared[0].shape])
    with torch.no_grad():
        settle_batch_norm(network, pixels)
        features = network.extract_feat(pixels)
        for name, target in case.layers.items():
            # CID's head takes one picture at a time.
            one = case.name.startswith("cid")
            tune(network.head, name, target, tuple(level[:1] for level in features) if one else features)
        if hasattr(network.head, "rescore_net"):
            network.head.rescore_net.l3.bias += 0.8
        if hasattr(network.head, "dcc"):
            # Logits of tens, as trained networks give: at 340 the last bit of a feature moves a joint a tenth
            # of a pixel, and batches of another size round otherwise.
            for encoding in (network.head.dcc.x_fc, network.head.dcc.y_fc):
                encoding.weight.mul_(0.1)
                encoding.bias.mul_(0.1)
    weights = folder / f"{case.name}.pth"
    torch.save({"state_dict": network.state_dict(), "meta": {}}, weights)
    return replace(source, weights_path=str(weights), sha256="")


def config_of(name: str) -> str:
    """Path of a config that has no short name in the catalogue."""
    import mmpose

    root = Path(mmpose.__file__).parent / ".mim/configs/body_2d_keypoint"
    return str({"cid-w32": root / "cid/coco/cid_hrnet-w32_8xb20-140e_coco-512x512.py"}[name])


def normalised(network, pictures: list[np.ndarray]) -> torch.Tensor:
    """A batch of RGB pictures of one size as MMPose hands it to the network."""
    from mmpose.structures import PoseDataSample

    bgr = [torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1) for picture in pictures]
    data = {"inputs": bgr, "data_samples": [PoseDataSample() for _ in bgr]}
    return network.data_preprocessor(data, False)["inputs"]


def settle_batch_norm(network, pixels: torch.Tensor) -> None:
    """Give batch norm the statistics of real pictures, and a gain that keeps rounding errors from growing."""
    norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
        norm.weight.fill_(GAIN)
    features = network.extract_feat(pixels)
    if any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in network.head.modules()):
        network.head.forward(features)
    network.eval()


def tune(head, name: str, target, features) -> None:
    """Scale a layer (found by the end of its name) so that its outputs have the wanted mean and reach."""
    layers = [layer for full, layer in head.named_modules() if full.endswith(name)]
    assert len(layers) == 1, name
    seen: list[torch.Tensor] = []
    hook = layers[0].register_forward_hook(lambda _m, _i, output: seen.append(output.detach()))
    head.forward(features)
    hook.remove()
    channels = len(layers[0].bias)
    outputs = torch.cat([output.movedim(1, -1).reshape(-1, channels) for output in seen])
    goal = torch.tensor(target).expand(channels, 2)
    factor = goal[:, 1] / (outputs - outputs.mean(dim=0)).abs().amax(dim=0)
    layers[0].weight.mul_(factor.view(-1, *[1] * (layers[0].weight.ndim - 1)))
    layers[0].bias.copy_((layers[0].bias - outputs.mean(dim=0)) * factor + goal[:, 0])


def reference(source: ModelSource, photos: list[np.ndarray], flip: bool | None = None) -> list:
    """MMPose's own results, with BGR pictures as it reads them."""
    mmlab.prepare()
    with default_scope("mmpose"):
        import mmpose.datasets  # noqa: F401
        from mmpose.apis import inference_bottomup, init_model

        model = init_model(source.config_path, source.weights_path, device="cpu")
        if flip is not None:
            model.test_cfg["flip_test"] = flip
        return [inference_bottomup(model, photo[..., ::-1].copy())[0].pred_instances for photo in photos]


def expected(name: str, people, sigmas) -> dict[str, np.ndarray]:
    """MMPose's people ranked and suppressed as its metric does it, in the config's score mode."""
    from mmpose.evaluation.functional import oks_nms

    keypoints, joints = np.asarray(people.keypoints), np.asarray(people.keypoint_scores)
    own = np.asarray(people.bbox_scores) if "bbox_scores" in people else np.ones(len(keypoints))
    mode = "keypoint" if name in ("dekr-w32", "cid-w32") else "bbox"
    scores = joints.mean(axis=1) if mode == "keypoint" else own
    order = np.argsort(-scores, kind="stable")
    if name == "cid-w32":
        instances = [
            {
                "keypoints": np.concatenate([k, s[:, None]], axis=1),
                "score": score,
                "area": np.prod(k.max(axis=0) - k.min(axis=0)),
            }
            for k, s, score in zip(keypoints, joints, scores, strict=True)
        ]
        order = np.asarray(oks_nms(instances, 0.8, sigmas=sigmas))
    result = {"keypoints": keypoints[order], "keypoint_scores": joints[order], "scores": scores[order]}
    if "bboxes" in people:
        corners = np.asarray(people.bboxes)[order]
        result["bboxes"] = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    else:
        low, high = result["keypoints"].min(axis=1), result["keypoints"].max(axis=1)
        result["bboxes"] = np.concatenate([low, high - low], axis=1)
    return result


def assert_equal(ours, theirs: dict[str, np.ndarray]) -> None:
    assert len(ours) == len(theirs["scores"])
    np.testing.assert_allclose(ours.scores, theirs["scores"], atol=1e-4)
    np.testing.assert_allclose(ours.keypoint_scores, theirs["keypoint_scores"], atol=1e-4)
    np.testing.assert_allclose(ours.keypoints, theirs["keypoints"], atol=0.05)
    np.testing.assert_allclose(ours.bboxes, theirs["bboxes"], atol=0.05)


@pytest.mark.parametrize("name", CASES)
def test_equals_mmpose(name, models, photos):
    """All photos in one call of ours, so that batches and sizes mix; one at a time in MMPose."""
    source = models(name)
    estimator = WholeImage(source)
    ours = estimator.find([estimator.prepare(photo) for photo in photos])
    for poses, people in zip(ours, reference(source, photos), strict=True):
        assert_equal(poses, expected(name, people, np.array(estimator.skeleton.sigmas)))
    counts = [len(poses) for poses in ours]
    # Of the random centres of CID, most are the same person to its OKS suppression.
    assert sum(count > 0 for count in counts) >= 3 and sum(counts) >= (4 if name == "cid-w32" else 20), counts


@pytest.mark.parametrize("name", ["dekr-w32", "cid-w32"])
def test_equals_mmpose_without_flip(name, models, photos):
    source = models(name)
    estimator = WholeImage(source, flip=False)
    (ours,) = estimator.find([estimator.prepare(photos[0])])
    (people,) = reference(source, photos[:1], flip=False)
    assert len(ours) > 0
    assert_equal(ours, expected(name, people, np.array(estimator.skeleton.sigmas)))


def test_ae_without_flip_keeps_the_scale(models, photos):
    """MMPose does not resize the heatmaps without the flip test, and would shrink people to a quarter."""
    estimator = WholeImage(models("ae-w32"), flip=False)
    (poses,) = estimator.find([estimator.prepare(photos[0])])
    assert len(poses) > 0
    assert (poses.keypoints.max(axis=(0, 1)) > 0.6 * np.array(photos[0].shape[1::-1])).all()


@pytest.mark.parametrize("name", CASES)
def test_nobody(name, models, photos):
    """MMPose fails on an image without people for some of these; here it has none."""
    estimator = WholeImage(models(name))
    for layer in ("out_cls", "heatmap_conv_layers.2", "keypoint_root_conv", "final_layer"):
        for full, module in estimator._head.layers.named_modules():
            if layer in full and hasattr(module, "bias"):
                with torch.no_grad():
                    module.weight.zero_()
                    module.bias.fill_(-20.0)
    (poses,) = estimator.find([estimator.prepare(photos[0])])
    assert len(poses) == 0 and poses.keypoints.shape == (0, 17, 2) and poses.bboxes.shape == (0, 4)


def test_joints_lie_in_the_box_that_is_made_of_them(models, photos):
    """At sides that float32 cannot divide, in pictures that were handed on whole or smaller."""
    estimator = WholeImage(models("dekr-w32"))
    for photo in (photos[0], photos[0][:397, :331]):
        (poses,) = estimator.find([estimator.prepare(photo)])
        assert len(poses) > 5
        for whole in (poses, poses.scaled(2), poses.scaled(8)):
            assert not measure(whole, estimator.skeleton).joints_outside_box.any()
            np.testing.assert_array_equal(whole.bboxes, extent(whole.keypoints))


def test_the_device_running_out_of_memory_halves_the_batch_for_good(models, photos, monkeypatch):
    estimator = WholeImage(models("rtmo-s"))
    inputs = [estimator.prepare(photo) for photo in (*photos, photos[0])]
    expected = estimator.find(inputs)
    whole, sizes = estimator._find, []

    def small(pixels, size):
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return whole(pixels, size)

    monkeypatch.setattr(estimator, "_find", small)
    for _ in range(2):
        for ours, theirs in zip(estimator.find(inputs), expected, strict=True):
            np.testing.assert_allclose(ours.keypoints, theirs.keypoints, atol=0.05)
    assert sizes == [5, 2, 2, 1, 2, 2, 1]


def test_limits_on_people(models, photos):
    source = models("dekr-w32")
    everybody, good, two = (
        WholeImage(source, **options) for options in ({}, {"score_threshold": 0.02}, {"max_people": 2})
    )
    inputs = [everybody.prepare(photos[0])]
    (all_people,), (some,), (best,) = everybody.find(inputs), good.find(inputs), two.find(inputs)
    count = int((all_people.scores >= 0.02).sum())
    assert 0 < count < len(all_people)
    np.testing.assert_array_equal(some.keypoints, all_people.keypoints[:count])
    np.testing.assert_array_equal(best.scores, all_people.scores[:2])


def test_values_that_are_not_finite_are_an_error_not_an_empty_image(models, photos):
    estimator = WholeImage(models("rtmo-s"))
    with torch.no_grad():
        next(estimator._network._network.backbone.parameters()).fill_(torch.nan)
    with pytest.raises(ItemError, match="not_finite"):
        estimator.find([estimator.prepare(photos[0])])


def test_too_elongated_for_an_input_that_covers(models):
    strip = np.zeros((16, 20000, 3), np.uint8)
    with pytest.raises(ItemError, match="too_elongated"):
        WholeImage(models("cid-w32")).prepare(strip)
    assert WholeImage(models("rtmo-s")).prepare(strip).pixels.shape == (320, 320, 3)


def test_one_stage_models_have_no_flip_test(models):
    with pytest.raises(UserError, match="--flip"):
        WholeImage(models("rtmo-s"), flip=True)


@pytest.mark.parametrize(("precision", "why"), [("fp16", "needs a GPU"), ("fp8", "expected auto")])
def test_precisions_that_the_device_does_not_have_are_refused(models, precision, why):
    with pytest.raises(UserError, match=why):
        WholeImage(models("rtmo-s"), precision=precision)


def test_top_down_models_are_refused():
    with pytest.raises(UserError, match="whole images"):
        WholeImage(resolve_pose("rtmpose-t", "random"))


def test_empty_call(models):
    assert WholeImage(models("rtmo-s")).find([]) == []


class Silence:
    """Nobody listens to these runs."""

    def stage(self, text): ...
    def download(self, name, have, total): ...
    def begin(self, total, done, people, errors): ...
    def report(self, progress): ...


@pytest.mark.parametrize("name", ["rtmo-s", "cid-w32"])
def test_run(name, models, assets, tmp_path):
    """The same people come out of a run, without a detector; a file that is no picture costs only itself."""
    from annotator.config import RunConfig
    from annotator.runtime.launch import launch
    from annotator.store.reader import Run

    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in PHOTOS:
        (folder / photo).symlink_to(assets.photos / photo)
    (folder / "broken.jpg").write_bytes(b"no picture")
    source = models(name)
    config = RunConfig(
        inputs=(str(folder),),
        out=str(tmp_path / "run"),
        pose=source.config_path,
        pose_weights=source.weights_path,
        executor="inline",
        batch_images=3,
        quiet=True,
    )
    launch(config, Silence())
    run = Run(config.out)
    rows = {row["file_name"]: row for batch in run.images() for row in batch.to_pylist()}
    assert rows.pop("broken.jpg")["status"] == "error"
    people: dict[int, list[dict]] = {row["image_id"]: [] for row in rows.values()}
    for batch in run.instances():
        for row in batch.to_pylist():
            people[row["image_id"]].append(row)
    estimator = WholeImage(source, score_threshold=config.detector_threshold)
    assert sum(map(len, people.values())) > 0
    for photo in PHOTOS:
        pixels = cv2.imread(str(assets.photos / photo))[..., ::-1].copy()
        (poses,) = estimator.find([estimator.prepare(pixels)])
        found = people[rows[photo]["image_id"]]
        assert len(found) == len(poses) == rows[photo]["num_instances"]
        np.testing.assert_allclose([row["score"] for row in found], poses.scores, atol=1e-4)
        keypoints = np.array([row["keypoints"] for row in found]).reshape(-1, 17, 3)[..., :2]
        np.testing.assert_allclose(keypoints, poses.keypoints, atol=0.05)


def test_run_refuses_boxes(models, assets, tmp_path):
    from annotator.config import RunConfig
    from annotator.runtime.launch import launch

    source = models("rtmo-s")
    config = RunConfig(
        inputs=(str(assets.photos / PHOTOS[0]),),
        out=str(tmp_path / "run"),
        pose=source.config_path,
        pose_weights=source.weights_path,
        boxes=str(assets.ground_truth),
        executor="inline",
    )
    with pytest.raises(UserError, match="--boxes"):
        launch(config, Silence())
