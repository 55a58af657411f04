"""A run from another run: rows under new settings, people who go, what was forgotten, what is refused."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from annotator.config import load_config
from annotator.errors import ItemError, UserError
from annotator.models import sources
from annotator.models.estimator import Estimator
from annotator.models.sources import ModelSource
from annotator.people import Detections, Poses
from annotator.privacy.forget import forget
from annotator.quality.calibration import Calibration
from annotator.quality.signals import measured
from annotator.runtime import derive as deriving
from annotator.runtime import ingredients, launch
from annotator.runtime.derive import launch_from, settings_of
from annotator.runtime.engine_settings import Resolved
from annotator.runtime.job import Job
from annotator.runtime.progress import ProgressBar
from annotator.skeletons import COCO_17
from annotator.sources.plan import build_plan
from annotator.sources.stored_boxes import plan_with_boxes
from annotator.store import run_info
from annotator.store.leftovers import sweep
from annotator.store.reader import Run
from annotator.store.results import stored_results
from annotator.store.schema import ModelRecord, Provenance
from annotator.store.verify import verify
from annotator.store.visibility import EVIDENCE, Evidence
from annotator.tracks.layer import follow_run

GONE = ItemError("read", "missing", "not there")


@pytest.fixture
def base(make_run, picture, people):
    """Five pictures in three shards: two people, nobody, an error, three people, one; found by a detector."""
    rng = np.random.default_rng(0)

    def some(*scores: float) -> Poses:
        n = len(scores)
        poses = people(
            [[40 * i, 30, 100, 200] for i in range(n)],
            rng.uniform(0, 300, (n, 17, 2)),
            list(scores),
        )
        scored = replace(poses, keypoint_scores=rng.uniform(0, 1, (n, 17)).astype(np.float32))
        halves = np.stack([poses.keypoints, poses.keypoints + 3], axis=1)
        return measured(replace(scored, halves=halves), COCO_17, (192, 256))

    pictures = [
        picture("a.jpg", some(0.9, 0.4)),
        picture("b.jpg"),
        picture("c.jpg", GONE, size=None),
        picture("d.jpg", some(0.8, 0.6, 0.2)),
        picture("e.jpg", some(0.3)),
    ]
    made = make_run(pictures).commit()
    run_info.update(made.path, provenance=replace(made.provenance, detector=ModelRecord("detector")))
    return made


def derive(base, **settings):
    out = base.path.parent / "new"
    config = load_config(None, {"out": str(out)} | settings, [], settings_of(str(base.path), settings))
    return launch_from(config, str(base.path), ProgressBar(quiet=True)), Run(out)


def column(run: Run, table: str, name: str) -> list:
    batches = run.images([name]) if table == "images" else run.instances([name])
    return [value for batch in batches for value in batch[name].to_pylist()]


def test_stored_results_are_what_was_found(base) -> None:
    found = {stored.index: stored for shard in range(3) for stored in stored_results(base.open(), shard)}
    for index, given in enumerate(base.pictures):
        stored = found[index].result
        assert found[index].size == given.size
        if isinstance(given.people, ItemError):
            assert isinstance(stored, ItemError) and stored.kind == "missing"
            continue
        assert isinstance(stored, Poses) and len(stored) == len(given.people)
        for name in ("bboxes", "bbox_scores", "keypoints", "keypoint_scores", "scores"):
            assert np.array_equal(getattr(stored, name), getattr(given.people, name)), name
        if len(stored):
            assert stored.signals is not None and stored.signals.flip_oks is not None
            assert np.array_equal(stored.signals.flip_oks, given.people.signals.flip_oks)
            assert np.array_equal(stored.signals.duplicate_of, given.people.signals.duplicate_of)


def test_a_shard_that_is_not_committed_has_no_stored_results(make_run, picture) -> None:
    made = make_run([picture("a.jpg"), picture("b.jpg"), picture("c.jpg")]).commit(0)
    with pytest.raises(FileNotFoundError):
        next(stored_results(made.open(), 1))


def test_new_thresholds_change_v_and_nothing_else(base) -> None:
    report, new = derive(base, visible_threshold=0.7, hidden_threshold=0.5)
    old = base.open()
    assert verify(new.path).ok and report.exit_code == 3
    changed = {"keypoints", "num_keypoints"}
    for table, names in (("images", None), ("instances", None)):
        batches = new.images() if table == "images" else new.instances()
        for name in next(iter(batches)).schema.names if names is None else names:
            if name not in changed:
                assert column(new, table, name) == column(old, table, name), name
    points, scores = (np.array(column(new, "instances", name)) for name in ("keypoints", "keypoint_scores"))
    points = points.reshape(len(points), 17, 3)
    before = np.array(column(old, "instances", "keypoints")).reshape(points.shape)
    assert np.array_equal(points[..., :2], before[..., :2])
    assert np.array_equal(points[..., 2], (scores >= 0.5).astype(int) + (scores >= 0.7))
    assert new.metadata["visibility"]["visible"] == 0.7
    origin = new.metadata["derived_from"]
    assert origin["run"] == "run" and origin["reused"] == ["inputs", "errors", "boxes", "keypoints"]
    assert new.metadata["pose_model"] == old.metadata["pose_model"]
    assert any("1 errors" in note for note in report.notes)


def test_a_higher_threshold_leaves_people_out_and_measures_those_who_stay(base) -> None:
    _, new = derive(base, detector_threshold=0.35, max_people=2)
    assert verify(new.path).ok
    assert column(new, "images", "num_instances") == [2, 0, 0, 2, 0]
    assert column(new, "images", "status") == ["ok", "empty", "error", "ok", "empty"]
    assert column(new, "instances", "person_index") == [0, 1, 0, 1]
    old = {i: place for place, i in enumerate(column(base.open(), "instances", "id"))}
    kept = [old[i] for i in column(new, "instances", "id")]
    # The flip test's are the stored ones, those of neighbours are measured among those who stayed.
    for name in ("flip_oks", "keypoint_flip_oks", "likely_swap", "keypoints"):
        before = column(base.open(), "instances", name)
        assert column(new, "instances", name) == [before[place] for place in kept], name
    ids = set(column(new, "instances", "id"))
    assert all(i is None or i in ids for i in column(new, "instances", "duplicate_of"))


def calibration(path, sha256: str) -> str:
    """Written to `path`: probabilities are squared scores, and v says which side of 0.5 the score is."""
    curve = (np.linspace(0, 1, 101), np.linspace(0, 1, 101) ** 2)
    weights = np.zeros((17, len(EVIDENCE) + 1, 3))
    weights[:, -1, 0] = -1e9
    weights[:, EVIDENCE.index("score"), 2] = 40.0
    weights[:, -1, 2] = -20.0
    policy = Evidence(COCO_17, np.zeros(len(EVIDENCE)), np.ones(len(EVIDENCE)), weights, {"fitted_on": []})
    model = {"name": "test-pose", "sha256": sha256}
    path.write_text(Calibration(COCO_17.keypoints, (curve,) * 17, model, {}, policy).to_json())
    return str(path)


def test_a_new_calibration_gives_probabilities_and_its_policy_without_a_model(base, tmp_path) -> None:
    """Neither the pictures nor the model of the base exist, so none of them can have been used."""
    before = {path: path.read_bytes() for path in base.path.rglob("*.parquet")}
    file = calibration(tmp_path / "c.json", base.provenance.pose_model.sha256)
    _, new = derive(base, calibration=file)
    assert verify(new.path).ok
    scores, probs = (
        np.array(column(new, "instances", name)) for name in ("keypoint_scores", "keypoint_probs")
    )
    assert probs == pytest.approx(scores**2, abs=1e-3)
    v = np.array(column(new, "instances", "keypoints")).reshape(-1, 17, 3)[..., 2]
    assert np.array_equal(v, np.where(scores > 0.5, 2, 1))
    same = set(next(iter(new.instances())).schema.names) - {"keypoints", "num_keypoints", "keypoint_probs"}
    for name in same:
        assert column(new, "instances", name) == column(base.open(), "instances", name), name
    document = new.metadata
    assert document["visibility"]["policy"] == "evidence"
    assert document["calibration"]["sha256"] == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert document["pose_model"] == base.open().metadata["pose_model"]
    origin = document["derived_from"]
    assert origin["reused"] == ["inputs", "errors", "boxes", "keypoints"]
    assert origin["config_sha256"] == base.provenance.config_sha256 != document["config_sha256"]
    assert before == {path: path.read_bytes() for path in base.path.rglob("*.parquet")}

    # Another policy, from the run that has the calibration: probabilities stay, v is the first run's.
    given = {"out": str(tmp_path / "plain"), "visibility": "score-thresholds"}
    config = load_config(None, given, [], settings_of(str(new.path), given))
    launch_from(config, str(new.path), ProgressBar(quiet=True))
    plain = Run(tmp_path / "plain")
    assert column(plain, "instances", "keypoints") == column(base.open(), "instances", "keypoints")
    assert np.array(column(plain, "instances", "keypoint_probs")) == pytest.approx(probs)
    assert plain.metadata["visibility"]["policy"] == "score-thresholds"
    assert plain.metadata["derived_from"]["run"] == "new"


def test_people_in_a_film_are_followed_as_before(film_run, walkers, tmp_path) -> None:
    """Identities come of boxes and joints, which stay; the new run has tracks of its own."""
    made = film_run([walkers(20, [(20.0, 100.0, 8.0), (400.0, 110.0, -8.0)])]).commit()
    follow_run(made.open())
    sweep(made.path)
    given = {"out": str(tmp_path / "new"), "visible_threshold": 0.95}
    config = load_config(None, given, [], settings_of(str(made.path), given))
    launch_from(config, str(made.path), ProgressBar(quiet=True))
    new = Run(tmp_path / "new")
    assert verify(new.path).ok
    for name in ("id", "track_id"):
        assert column(new, "instances", name) == column(made.open(), "instances", name)
    v = np.array(column(new, "instances", "keypoints")).reshape(-1, 17, 3)[..., 2]
    assert v.max() == 1


def test_people_whom_the_other_run_did_not_follow_can_be_followed_without_a_model(
    film_run, walkers, tmp_path
) -> None:
    made = film_run([walkers(20, [(20.0, 100.0, 8.0)])], track=False).commit()
    given = {"out": str(tmp_path / "new"), "track": True}
    config = load_config(None, given, [], settings_of(str(made.path), given))
    launch_from(config, str(made.path), ProgressBar(quiet=True))
    new = Run(tmp_path / "new")
    assert set(column(new, "instances", "track_id")) == {column(new, "instances", "id")[0]}
    assert verify(new.path).ok


FORGOTTEN = [("d.jpg",), ("a.jpg", "b.jpg"), ("c.jpg", "e.jpg"), ("*",)]


def gone(run: Run) -> tuple[tuple[int, int], ...]:
    assert run.info.forgotten is not None
    return run.info.forgotten.ranges


@pytest.mark.parametrize("boxes", ["detected", "given", "of the pose model"])
@pytest.mark.parametrize("patterns", FORGOTTEN)
def test_rows_of_what_is_left_after_a_forget(base, patterns, boxes) -> None:
    """A part of a shard is gone, or all of the first or the last one, or everything."""
    own = base.provenance if boxes == "of the pose model" else run_info.read(base.path).provenance
    if boxes == "given":
        own = replace(own, detector=None, boxes=run_info.FileRecord("b.json", "0" * 64))
    run_info.update(base.path, provenance=own)
    forget(str(base.path), patterns)
    _, new = derive(base, visible_threshold=0.7)
    report = verify(new.path)
    assert report.ok, report.problems
    assert column(new, "images", "index") == column(base.open(), "images", "index")
    assert column(new, "instances", "bbox") == column(base.open(), "instances", "bbox")
    assert gone(new) == gone(base.open())
    assert new.info.provenance.plan_sha256 == new.plan.sha256

    # More goes from the new run, and its first start is gone on with.
    if patterns != ("*",):
        forget(str(new.path), ["[abe].jpg"])
        assert verify(new.path).ok and verify(new.path).forgotten > report.forgotten
        assert derive(base, visible_threshold=0.7)[0].images == 0
        assert verify(new.path).ok


def test_a_run_that_is_being_forgotten_from_is_no_base(base) -> None:
    (base.path / run_info.FORGETTING).write_text('{"patterns": ["d.jpg"]}')
    with pytest.raises(UserError, match="being forgotten"):
        derive(base, visible_threshold=0.7)


def test_a_start_that_died_before_its_plan_is_gone_on_with(base) -> None:
    forget(str(base.path), ["d.jpg"])
    _, new = derive(base, visible_threshold=0.7)
    (new.path / "plan" / "items.parquet").unlink()
    derive(base, visible_threshold=0.7)
    assert verify(new.path).ok
    forget(str(new.path), ["e.jpg"])
    (new.path / "plan" / "items.parquet").unlink()
    with pytest.raises(UserError, match="has no plan"):
        derive(base, visible_threshold=0.7)


def test_films_that_are_left_after_a_forget_are_followed(film_run, walkers, tmp_path) -> None:
    films = [walkers(20, [(20.0, 100.0, 8.0)]), walkers(25, [(50.0, 90.0, 6.0), (400.0, 110.0, -8.0)])]
    made = film_run(films, shard_size=15).commit()
    follow_run(made.open())
    sweep(made.path)
    forget(str(made.path), ["0.mp4"])
    given = {"out": str(tmp_path / "new"), "visible_threshold": 0.95}
    config = load_config(None, given, [], settings_of(str(made.path), given))
    launch_from(config, str(made.path), ProgressBar(quiet=True))
    report = verify(tmp_path / "new")
    assert report.ok, report.problems
    assert (report.planned, report.forgotten) == (25, 20)
    for name in ("id", "track_id"):
        assert column(Run(tmp_path / "new"), "instances", name) == column(made.open(), "instances", name)


class Models(Estimator):
    """As many people as the first pixel says, and a pose wherever there is a box."""

    skeleton = COCO_17

    def prepare(self, image):
        return image

    def detect(self, inputs):
        return [_boxes(int(image[0, 0, 0])) for image in inputs]

    def estimate(self, images, boxes):
        return [self._poses(found) for found in boxes]

    def _poses(self, found):
        n = len(found)
        sides = np.concatenate([found.bboxes[:, :2], found.bboxes[:, 2:] - found.bboxes[:, :2]], axis=1)
        scores = np.full((n, 17), 0.8, np.float32)
        return Poses(sides, found.scores, np.full((n, 17, 2), 5, np.float32), scores, found.scores)


def _boxes(people: int) -> Detections:
    corners = np.array([[1 + 3 * n, 2, 5 + 3 * n, 5 + people] for n in range(people)], float).reshape(-1, 4)
    return Detections(corners, np.linspace(0.9, 0.5, people, dtype=np.float32))


@pytest.fixture
def photographed(tmp_path, monkeypatch) -> Run:
    """Five real pictures in three shards: two people, nobody, an error, three people, one; by `Models`."""
    module = ModuleType("models_of_these_runs")
    module.build = lambda job, threads: (Models(), Models())  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    made = partial(Job, models="models_of_these_runs:build")
    pose = ModelSource("m", "pose", "", None, "random")

    def provenance(config, plan, *models):
        return Provenance(ModelRecord("m"), ModelRecord("detector"), None, config.sha256(), plan.sha256)

    monkeypatch.setattr(deriving, "Job", made)
    monkeypatch.setattr(deriving, "resolve_engines", lambda config, *models: Resolved(config, ""))
    monkeypatch.setattr(ingredients, "fetch_missing", lambda *arguments: None)
    monkeypatch.setattr(ingredients, "make_provenance", provenance)
    monkeypatch.setattr(sources, "needs_boxes", lambda source: True)
    monkeypatch.setattr(sources, "resolve_pose", lambda *arguments, **more: pose)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, people in (("a", 2), ("b", 0), ("c", None), ("d", 3), ("e", 1)):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((12, 16, 3), people or 0, np.uint8))
        if people is None:
            (folder / f"{name}.png").write_bytes(b"no picture")
    given = {"inputs": (str(folder),), "out": str(tmp_path / "run"), "executor": "inline", "device": "cpu"}
    config = load_config(None, given | {"shard_size": 2}, [])
    plan = build_plan(config.inputs, shard_size=2)
    launch.begin(
        made(config, config.out, pose, None, provenance(config, plan)), plan, "", ProgressBar(quiet=True)
    )
    return Run(config.out)


@pytest.mark.parametrize("patterns", [(), *FORGOTTEN])
def test_a_new_pose_model_looks_at_the_boxes_that_are_left_after_a_forget(
    photographed, tmp_path, patterns
) -> None:
    if patterns:
        forget(photographed.place, [pattern.replace("jpg", "png") for pattern in patterns])
    given = {"out": str(tmp_path / "new"), "pose": "other", "executor": "inline", "device": "cpu"}
    config = load_config(None, given, [], settings_of(photographed.place, given))
    launch_from(config, photographed.place, ProgressBar(quiet=True))
    old, new = Run(photographed.place), Run(tmp_path / "new")
    report = verify(new.path)
    assert report.ok, report.problems
    for name in ("index", "file_name", "status", "num_instances"):
        assert column(new, "images", name) == column(old, "images", name), name
    for name in ("id", "bbox"):
        assert column(new, "instances", name) == column(old, "instances", name), name
    assert (gone(new) if patterns else ()) == (gone(old) if patterns else ())


def test_a_calibration_of_another_model_is_refused(base, tmp_path) -> None:
    with pytest.raises(UserError, match="with other weights"):
        derive(base, calibration=calibration(tmp_path / "c.json", "ef" * 32))


def test_given_boxes_stay_whatever_their_scores(base) -> None:
    info = run_info.read(base.path)
    given = replace(info.provenance, detector=None, boxes=None)
    run_info.update(base.path, provenance=replace(given, boxes=run_info.FileRecord("b.json", "0" * 64)))
    _, new = derive(base, detector_threshold=0.9)
    assert column(new, "images", "num_instances") == [2, 0, 0, 3, 1]


def test_going_on_with_it(base) -> None:
    derive(base, visible_threshold=0.7)
    again, _ = derive(base, visible_threshold=0.7)
    assert again.images == 0 and again.exit_code == 0
    with pytest.raises(UserError, match=r"visible_threshold: 0\.7 before, 0\.8 now"):
        derive(base, visible_threshold=0.8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "nothing differs"),
        ({"detector": "yolox-s"}, "detector cannot differ"),
        ({"inputs": ("/other",)}, "inputs cannot differ"),
        ({"detector_threshold": 0.05}, "detector_threshold 0.05: .* has no rows of them"),
        ({"max_people": 300}, "max_people 300"),
        ({"pose": "rtmo-s", "pose_weights": "random"}, "rtmo-s finds people by itself"),
    ],
)
def test_what_its_rows_cannot_give_is_refused(base, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        derive(base, **settings)
    assert not (base.path.parent / "new" / "run.json").exists()


def dropping(base) -> None:
    base.set(nms="drop")


@pytest.mark.parametrize(
    "settings",
    [
        {"pose": "hrnet-w32", "pose_weights": "random"},
        {"flip": True},
        {"second_pose": "hrnet-w32", "second_pose_weights": "random", "cascade": True},
    ],
)
def test_other_poses_are_refused_where_people_were_dropped_by_theirs(base, settings: dict) -> None:
    dropping(base)
    with pytest.raises(UserError, match=r"suppressed .* start a new run without --from"):
        derive(base, **settings)
    assert not (base.path.parent / "new" / "run.json").exists()


def test_what_changes_no_pose_may_differ_where_people_were_dropped(base) -> None:
    dropping(base)
    derive(base, visible_threshold=0.7)
    before = run_info.read(base.path).run_config
    deriving._check(
        str(base.path),
        base.open(),
        before.model_copy(update={"second_pose": "hrnet-w32"}),
        frozenset({"second_pose", "second_engine"}),
    )


def test_a_run_that_is_not_finished_is_refused(make_run, picture) -> None:
    made = make_run([picture("a.jpg"), picture("b.jpg"), picture("c.jpg")]).commit(0)
    with pytest.raises(UserError, match="not finished"):
        derive(made, visible_threshold=0.7)


def test_weights_of_a_replaced_model_are_not_kept(base) -> None:
    base.set(pose_weights="old.pth", calibration="c.json")
    assert settings_of(str(base.path), {"pose": "other"})["pose_weights"] is None
    assert settings_of(str(base.path), {})["pose_weights"] == "old.pth"


def test_the_plan_takes_the_boxes_with_their_scores(base) -> None:
    plan = plan_with_boxes(base.open(), lambda place, bbox_scores, scores: bbox_scores >= 0.35)
    items = [item for shard in plan.shards for item in plan.items(shard)]
    assert [item.uri for item in items] == [item.uri for item in base.items]
    assert [item.image_id for item in items] == [item.image_id for item in base.items]
    assert [len(item.boxes or ()) for item in items] == [2, 0, 0, 2, 0]
    assert items[0].boxes is not None
    second = items[0].boxes[1]
    assert second.bbox == (40, 30, 100, 200) and second.score == pytest.approx(0.4)
    # However its rows are asked for.
    assert plan.table(1, 4).equals(plan.table(0, 5).slice(1, 3))
