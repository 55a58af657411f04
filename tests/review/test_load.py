"""What is loaded is what the rows say, in FiftyOne's own form; loading again leaves people's work alone."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pytest

from annotator.errors import RunFailed, UserError
from annotator.review import decisions, views
from annotator.review.copies import needs_copy
from annotator.review.documents import Extras, documents
from annotator.review.identifiers import Identifiers
from annotator.review.load import load
from annotator.review.mirror import mirror_of, to_pixels
from annotator.review.progress import progress
from annotator.review.writing import FIFTYONE, _shape, agrees
from annotator.skeletons import COCO_17
from annotator.store import reviews
from annotator.store.snapshot import Snapshot
from tests.review.conftest import SIZE, make_review_run, two_people


@pytest.fixture
def dataset(run, place, fo):
    """The loaded run."""
    return fo.load_dataset(load(run.open(), place, quiet=True).dataset)


@pytest.fixture
def truth(run, tmp_path):
    """Ground truth: the large person of 0.png exactly, one far from anybody in 1.png, nobody in 2.png."""
    people = two_people()
    keypoints = np.concatenate([people.keypoints, np.full((2, 17, 1), 2)], axis=-1)
    images = [{"id": 70 + n, "file_name": f"{n}.png", "width": 320, "height": 240} for n in range(3)]
    person = {"category_id": 1, "iscrowd": 0, "num_keypoints": 17, "area": 9000.0}
    far = keypoints[0] + [150, 0, 0]
    annotations = [
        person
        | {"id": 5, "image_id": 70, "bbox": [40, 30, 120, 180], "keypoints": keypoints[0].ravel().tolist()},
        person | {"id": 6, "image_id": 71, "bbox": [190, 30, 120, 180], "keypoints": far.ravel().tolist()},
    ]
    category = {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints), "skeleton": []}
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return path


def test_everything_is_in_its_place(dataset, run) -> None:
    assert len(dataset) == 6 and dataset.media_type == "image" and dataset.persistent
    sample = dataset.match({"index": 3}).first()
    assert sample.filepath == "/data/3.png" and sample.metadata.width == 320
    assert set(sample.tags) == {"shard:1", "ok"}
    boxes, people, poses = sample.people.detections, sample.keypoints.keypoints, sample.poses.polylines
    assert len(boxes) == len(people) == len(poses) == sample.num_people == 2
    # Box, skeleton and lines of one person are one instance; two people are two.
    assert [b.instance.id for b in boxes] == [k.instance.id for k in people] == [p.instance.id for p in poses]
    assert boxes[0].instance.id != boxes[1].instance.id

    wanted = two_people()
    assert np.allclose(to_pixels(np.array(people[0].points), SIZE), wanted.keypoints[0], atol=1e-4)
    points = mirror_of(COCO_17).to_points(poses[1].points)
    assert np.allclose(to_pixels(points, SIZE), wanted.keypoints[1], atol=1e-4)
    assert np.allclose(boxes[0].bounding_box, [40 / 320, 30 / 240, 120 / 320, 180 / 240])
    assert people[1].visible == [2] * 12 + [0] * 5
    assert np.isnan(people[1].points[12:]).all() and np.isfinite(people[1].points[:12]).all()
    assert np.allclose(people[1].confidence, wanted.keypoint_scores[1])
    assert people[0].risk < people[1].risk == pytest.approx(sample.risk)

    error = dataset.match({"index": 5}).first()
    assert error.error_kind == "truncated" and "error" in error.tags and not error.people.detections
    assert dataset.default_skeleton.labels == list(COCO_17.keypoints)
    assert dataset.default_skeleton.edges == [list(edge) for edge in COCO_17.edges]


def test_sliders_have_an_index(dataset) -> None:
    fields = dataset.get_field_schema(flat=True)
    indexes = dataset.get_index_information()
    for name in ("risk", "score", "entropy", "flip_oks", "max_iou", "likely_swap", "decision"):
        assert f"keypoints.keypoints.{name}" in fields and f"keypoints.keypoints.{name}" in indexes


def test_saved_views(dataset) -> None:
    assert {views.WORST, views.REVIEW, views.SWAPPED, views.CROWDED, views.SMALL, views.FAILED} <= set(
        dataset.list_saved_views()
    )
    assert views.DISAGREEING not in dataset.list_saved_views()
    worst = dataset.load_saved_view(views.WORST).values("risk")
    assert len(worst) == 4 and worst == sorted(worst, reverse=True)
    assert dataset.load_saved_view(views.FAILED).values("index") == [5]
    assert decisions.people_in(dataset.load_saved_view(views.SMALL)) == [n << 12 | 2 for n in (0, 1, 3, 4)]
    needed = decisions.people_in(dataset.load_saved_view(views.REVIEW))
    assert needed == [n << 12 | 2 for n in (0, 1, 3, 4)]
    decisions.decide(dataset, needed[:1], reviews.ACCEPTED)
    assert decisions.people_in(dataset.load_saved_view(views.REVIEW)) == needed[1:]


def test_the_panel_and_the_views_count_the_same_people(dataset) -> None:
    """Decided people who are no longer predicted are not undecided for ever; a view shows them."""
    decisions.decide(dataset, [2, 1 << 12 | 2], reviews.ACCEPTED)
    gone = {"keypoints.keypoints.1.gone": True}
    dataset._sample_collection.update_one({"index": 0}, {"$set": gone})

    def people(name: str) -> list[int]:
        return decisions.people_in(dataset.load_saved_view(name))

    counted = progress(dataset)
    assert len(people(views.UNDECIDED)) == counted.people - counted.decided == 6
    assert len(people(views.REVIEW)) == counted.to_review == 2
    assert people(views.GONE) == [2]


def test_a_document_is_the_one_that_fiftyone_makes(dataset, run, fo) -> None:
    """The direct insert stands on this: when it fails, `load` refuses, and `documents.py` needs a look."""
    _, images, instances = next(Snapshot(run.open()).shards())
    extras = Extras(np.zeros(4, np.float32), np.zeros(4, bool), tags=("shard:0",))
    now = datetime.datetime(2026, 1, 1)
    document = next(documents(images, instances, extras, Identifiers(b"abc"), mirror_of(COCO_17), now))
    assert agrees(dataset, document)

    ours = dataset._sample_collection.find_one({"index": 0})
    copy = dataset.clone()
    copy.clear()
    copy.add_sample(fo.Sample.from_dict({k: v for k, v in document.items() if k != "_id"}))
    own = copy._sample_collection.find_one()
    copy.delete()
    assert _shape(own) == _shape(ours)

    label = {k: v for k, v in document["people"]["detections"][0].items() if k != "attributes"}
    assert not agrees(dataset, {**document, "people": {"_cls": "Detections", "detections": [label]}})
    assert not agrees(dataset, {**document, "people": {"_cls": "NoSuchLabel", "detections": []}})


def test_another_fiftyone_is_refused_before_a_sample_is_touched(run, place, fo, monkeypatch) -> None:
    assert f'"fiftyone=={FIFTYONE}"' in (Path(__file__).parents[2] / "pyproject.toml").read_text()
    name = load(run.open(), place, quiet=True).dataset

    def content() -> tuple[str, list[str]]:
        dataset = fo.load_dataset(name)
        # As text, in which NaN is NaN.
        return repr(list(dataset._sample_collection.find())), dataset.list_indexes()

    before = content()
    monkeypatch.setattr("annotator.review.writing.agrees", lambda *_: False)
    monkeypatch.setattr(fo, "__version__", "9.0")
    monkeypatch.setattr("annotator.review.layout.LAYOUT", 99)
    with pytest.raises(RunFailed, match=rf"FiftyOne 9\.0 .* needed, {FIFTYONE}, so nothing was loaded"):
        load(run.open(), place, quiet=True)
    assert content() == before


def test_again_and_after_a_new_generation(run, place, fo) -> None:
    """Nothing to do the second time; new predictions leave people's work alone."""
    first = load(run.open(), place, quiet=True)
    assert (first.new, first.renewed, first.images, first.people) == (6, 0, 6, 8)
    dataset = fo.load_dataset(first.dataset)
    again = load(run.open(), place, quiet=True)
    assert (again.new, again.renewed, again.people) == (0, 0, 8)

    decisions.decide(dataset, [1], reviews.REJECTED, "nobody there", by="anna")
    dataset.match({"index": 1}).tag_samples("mine")
    dragged = dataset.match({"index": 3}).first()
    dragged.poses.polylines[0].points[1][2] = (0.25, 0.75)
    dragged.save()

    # The same run, posed anew: the commits of another model in place of those of the first.
    other = make_review_run(run.path.parent / "other", shift=2.0)
    for folder in ("commits", "instances", "images"):
        for file in (run.path / folder).iterdir():
            file.unlink()
        for file in (other.path / folder).iterdir():
            file.rename(run.path / folder / file.name)
    renewed = load(run.open(), place, quiet=True)
    assert (renewed.new, renewed.renewed) == (0, 6)
    dataset.reload()
    assert len(dataset) == 6

    samples = {sample.index: sample for sample in dataset}
    person = samples[0].keypoints.keypoints[0]
    assert (person.decision, person.reason, person.reviewer) == ("rejected", "nobody there", "anna")
    assert person.stale is True and person.decided_at is not None
    wanted = two_people(shift=2.0).keypoints
    for index in (0, 1, 3, 4):
        for n in range(2):
            points = np.array(samples[index].keypoints.keypoints[n].points)
            seen = np.isfinite(points).all(axis=1)
            assert np.allclose(to_pixels(points[seen], SIZE), wanted[n][seen], atol=1e-4)
    assert set(samples[1].tags) == {"mine", "shard:0", "ok"}
    kept = samples[3].poses.polylines
    for n, line in enumerate(kept):
        points = mirror_of(COCO_17).to_points(line.points)
        untouched = np.arange(17) != 9 if n == 0 else np.ones(17, bool)
        assert np.allclose(to_pixels(points, SIZE)[untouched], wanted[n][untouched], atol=1e-4)
    assert tuple(kept[0].points[1][2]) == (0.25, 0.75)
    assert samples[3].keypoints.keypoints[0].stale is True
    assert not samples[3].keypoints.keypoints[1].to_dict().get("stale")


def test_a_picture_that_copies_leave_out_now_is_renewed_with_those_that_are_loaded(
    run, place, monkeypatch
) -> None:
    """Others are riskier, or fewer copies are asked for: no sample keeps the predictions of before."""
    monkeypatch.setattr("annotator.review.copies._SHOWN", frozenset())
    first = load(run.open(), place, max_copies=2, quiet=True)
    # Of five pictures, and one input without any.
    assert (first.new, first.left_out) == (3, 3)
    again = load(run.open(), place, max_copies=1, quiet=True)
    assert (again.new, again.renewed, again.left_out) == (0, 3, 3)


def test_ground_truth_beside_the_predictions(run, place, fo, truth) -> None:
    loaded = load(run.open(), place, gt=str(truth), quiet=True)
    assert loaded.matched == 3
    dataset = fo.load_dataset(loaded.dataset)
    samples = {sample.index: sample for sample in dataset}
    assert samples[0].keypoints.keypoints[0].oks == pytest.approx(1)
    assert samples[0].keypoints.keypoints[1].oks < 0.1
    assert samples[1].missed_people == 1 and samples[0].missed_people == samples[2].missed_people == 0
    assert samples[3].truth_people is None and not samples[3].keypoints.keypoints[0].to_dict().get("oks")
    assert len(samples[1].truth_keypoints.keypoints) == len(samples[1].truth_people.detections) == 1
    assert samples[1].truth_keypoints.keypoints[0].found is False
    assert set(dataset.load_saved_view(views.DISAGREEING).values("index")) == {0, 1}
    # Without the option the truth of the first load stays.
    assert load(run.open(), place, quiet=True).matched == 3


def test_a_truth_that_has_gone_since_is_said_and_comes_back_with_its_file(run, place, fo, truth) -> None:
    dataset = fo.load_dataset(load(run.open(), place, gt=str(truth), quiet=True).dataset)
    decisions.decide(dataset, [1 << 12 | 1], reviews.ACCEPTED)  # in 1.png

    def shown() -> tuple[set, bool]:
        dataset.reload()
        rows = dataset._sample_collection.find({}, {"index": 1, "missed_people": 1})
        having = {row["index"] for row in rows if row.get("missed_people") is not None}
        return having, views.DISAGREEING in dataset.list_saved_views()

    assert shown() == ({0, 1, 2}, True)
    aside = truth.rename(truth.with_suffix(".aside"))
    for _ in range(2):
        without = load(run.open(), place, quiet=True)
        assert without.matched is None and without.images == 6
        assert without.no_truth is not None and "truth.json" in without.no_truth
        assert shown() == (set(), False)
    with pytest.raises(UserError, match=r"truth\.json"):
        load(run.open(), place, gt=str(truth), quiet=True)
    aside.rename(truth)
    again = load(run.open(), place, quiet=True)
    assert (again.matched, again.no_truth) == (3, None)
    assert shown() == ({0, 1, 2}, True)


def test_oks_is_that_of_the_evaluation(run, truth) -> None:
    """OKS against pycocotools' own formula, for the person who is not exactly right."""
    from annotator.review.truth import read_truth

    gt = read_truth(run.open(), str(truth))
    _, images, instances = next(Snapshot(run.open()).shards())
    oks, _ = gt.compare(images, instances, Identifiers(b"abc"))
    people = two_people().keypoints.astype(float)
    d2 = ((people[1] - people[0]) ** 2).sum(axis=1)
    variances = (np.array(COCO_17.sigmas) * 2) ** 2
    assert oks[1] == pytest.approx(np.exp(-d2 / variances / (9000 + np.spacing(1)) / 2).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"uri": "/a.JPG"}, False),
        ({"uri": "/a.heic"}, True),
        ({"uri": "/a.tif"}, True),
        ({"uri": "s3://bucket/a.jpg"}, True),
        ({"uri": "/film.mp4#3", "video_uri": "/film.mp4"}, True),
        ({"uri": "/a.heic", "status": "error"}, False),
    ],
)
def test_what_browsers_cannot_show_gets_a_copy(row: dict, wanted: bool) -> None:
    assert needs_copy({"status": "ok", "video_uri": None} | row) is wanted


def test_a_run_without_rows(make_run, picture, place) -> None:
    with pytest.raises(UserError, match="nothing was committed"):
        load(make_run([picture("a.jpg")]).open(), place, quiet=True)


def test_a_truth_that_cannot_be_used_leaves_nothing_behind(run, place, fo, tmp_path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    before = fo.list_datasets()
    with pytest.raises(UserError, match=r"bad\.json"):
        load(run.open(), place, str(bad), quiet=True)
    assert fo.list_datasets() == before
