"""A review from the command line: run, load, decide, pull, export, and the send-back list run again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from annotator.review import decisions
from annotator.store import reviews
from annotator.store.reader import Run

# The left wrist, in fractions of the picture.
MOVED_TO = (0.25, 0.75)
LEFT_WRIST = 9

MODELS = ("--pose", "demo-pose", "--detector", "demo-detector", "--executor", "inline")


def annotator(*words: object) -> subprocess.CompletedProcess[str]:
    """One command, with the database of these tests."""
    command = [sys.executable, "-m", "annotator.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))


def said(*words: object) -> str:
    """What a command prints that succeeds."""
    done = annotator(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Reviewed:
    """A run that was reviewed and pulled, and who is who in it.

    Attributes:
        accepted: image_id where all people but the first were accepted, the second with a joint moved.
        people: of that image. sent_back: image_id of the picture that was sent back.
    """

    run: Path
    accepted: int
    people: list[int]
    sent_back: int


@pytest.fixture(scope="module")
def reviewed(review_home, assets, tmp_path_factory) -> Reviewed:
    """Some photos, annotated by the demo's models."""
    import fiftyone

    folder = tmp_path_factory.mktemp("cli")
    run, listed = folder / "run", folder / "photos.txt"
    listed.write_text("\n".join(map(str, sorted(assets.photos.glob("*.jpg"))[:4])))
    said("run", listed, "--out", run, *MODELS)
    database = ("--database-dir", review_home / "database")
    loaded = json.loads(said("review", "load", run, "--json", *database))
    dataset = fiftyone.load_dataset(loaded["dataset"])
    first, second, *_ = sorted(dataset, key=lambda sample: -sample.num_people)
    people = [label.person for label in first.keypoints.keypoints]
    first.poses.polylines[1].points[1][2] = MOVED_TO
    first.save()
    decisions.decide(dataset, people, reviews.ACCEPTED)
    decisions.decide(dataset, people[:1], reviews.REJECTED, "nobody there")
    decisions.decide(dataset, [label.person for label in second.keypoints.keypoints], reviews.SENT_BACK)
    pulled = json.loads(said("review", "pull", run, "--json", *database))
    assert pulled["corrected"] == 1 and pulled["send_back_images"] == 1
    return Reviewed(run, first.image_id, people, second.image_id)


def exported(run: Path, choice: str) -> dict:
    """What `annotator export --reviewed` writes."""
    path = run.with_name(f"{choice}.json")
    said("export", run, "--reviewed", choice, "--to", path)
    return json.loads(path.read_text())


def test_what_was_accepted_is_exported_as_it_was_corrected(reviewed) -> None:
    coco = exported(reviewed.run, "accepted")
    assert [image["id"] for image in coco["images"]] == [reviewed.accepted]
    people = {annotation["id"]: annotation for annotation in coco["annotations"]}
    assert set(people) == set(reviewed.people[1:])
    keypoints = np.reshape(people[reviewed.people[1]]["keypoints"], (17, 3))
    image = coco["images"][0]
    wanted = np.multiply(MOVED_TO, [image["width"], image["height"]]) - 0.5
    assert np.allclose(keypoints[LEFT_WRIST], [*wanted, 2], atol=1e-3)


def test_everybody_who_was_not_rejected_can_be_exported(reviewed) -> None:
    coco = exported(reviewed.run, "all")
    predicted = [row for batch in Run(reviewed.run).instances() for row in batch.to_pylist()]
    assert len(coco["images"]) == 4
    found = {annotation["id"] for annotation in coco["annotations"]}
    assert found == {row["id"] for row in predicted} - {reviewed.people[0]}


def test_what_was_sent_back_is_annotated_again(reviewed) -> None:
    again = reviewed.run.with_name("again")
    said("run", reviewed.run / "reviews" / "send-back.csv", "--out", again, *MODELS)
    images = [row for batch in Run(again).images() for row in batch.to_pylist()]
    assert [(row["image_id"], row["status"]) for row in images] == [(reviewed.sent_back, "ok")]

    def poses(run: Path) -> np.ndarray:
        rows = [row for batch in Run(run).instances() for row in batch.to_pylist()]
        return np.array([row["keypoints"] for row in rows if row["image_id"] == reviewed.sent_back])

    # The same models say the same of it: it was the same picture.
    assert np.allclose(poses(again), poses(reviewed.run), atol=0.01)
