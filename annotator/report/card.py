"""The run as a data set: a card in the form that Hugging Face reads, README.md with a YAML head."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import yaml

from annotator.quality.shown import CONFIDENT
from annotator.report.figures import Figures
from annotator.store.reader import Run
from annotator.store.schema import Provenance
from annotator.store.status import Summary
from annotator.store.work import Work

FILE_NAME = "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"))  # fmt: skip


def card_text(
    run: Run,
    name: str,
    summary: Summary,
    figures: Figures,
    work: Work,
    evaluation: dict[str, Any] | None,
) -> str:
    """The card. It describes the Parquet tables where they lie, in `images/` and `instances/` beside it.

    Args:
        name: what the run is called. evaluation: as of `evaluate.evaluation`, or None.
    """
    head = yaml.safe_dump(_head(run, name, summary), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{_text(run, name, summary, figures, work, evaluation)}"


def _head(run: Run, name: str, summary: Summary) -> dict[str, Any]:
    return {
        "pretty_name": f"Human pose annotations: {name}",
        # Whoever publishes decides; it depends on the pictures and on the models' weights.
        "license": "unknown",
        "annotations_creators": ["machine-generated"],
        "task_categories": ["keypoint-detection"],
        "tags": ["human-pose", "coco", "pose-annotator", *(model.name for model in run.info.pose_models)],
        "size_categories": [next((name for most, name in _SIZES if summary.images < most), "n>100M")],
        "configs": [
            {"config_name": "instances", "data_files": "instances/*.parquet", "default": True},
            {"config_name": "images", "data_files": "images/*.parquet"},
        ],
    }


def _text(
    run: Run,
    name: str,
    summary: Summary,
    figures: Figures,
    work: Work,
    evaluation: dict[str, Any] | None,
) -> str:
    provenance, pose, skeleton = run.info.provenance, run.metadata, run.skeleton
    detector, posers = provenance.detector, " and ".join(model.name for model in run.info.pose_models)
    people = detector.name if detector else "given boxes" if provenance.boxes else "the pose model itself"
    lines = [
        f"# {name}",
        "",
        f"Keypoints of {figures.people:,} people in {summary.images:,} images, predicted by {posers} on "
        f"people found by {people}. Predictions, not ground truth; made with pose-annotator "
        f"{provenance.code_version}.",
        "",
        "## What is in it",
        "",
        f"- `images/*.parquet`: a row an input: {summary.ok:,} with people, {summary.empty:,} without, "
        f"{summary.error:,} that could not be read (`status`, `error_kind`).",
        f"- `instances/*.parquet`: a row a person, COCO's field names: {figures.people:,} rows, "
        f"{figures.undoubted:,} of them with a box score of {CONFIDENT} or more, likely phantoms and doubles "
        "aside.",
        f"- Joints ({skeleton.name}): {', '.join(skeleton.keypoints)}.",
        f"- Coordinates: {pose['coordinates']['unit']}s of the {pose['coordinates']['frame']}, "
        f"{pose['coordinates']['axes']}.",
        f"- Visibility v by the policy `{pose['visibility'].get('policy')}`; confidence is in "
        "`keypoint_scores` and, where calibrated, `keypoint_probs`, never in v.",
        "",
        "## How it was made",
        "",
        "| | |",
        "| --- | --- |",
        *_made_with(provenance),
        f"| settings | sha256 `{provenance.config_sha256}` |",
        f"| plan | sha256 `{provenance.plan_sha256}` |",
        f"| started | {run.info.started_at} |",
        f"| work | {work.seconds:,.0f} s of {work.workers} workers on {work.hosts} machines |",
        "",
        "## How good it is",
        "",
        *_quality(evaluation),
        "",
        "## Use",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'people = load_dataset({run.place!r}, "instances", split="train")',
        "```",
        "",
        f"Other formats: `annotator export {shlex.quote(run.place)} --format coco --to people.json`.",
        "",
        "The pictures themselves are not part of it: their licences, and the consent of the people in them, "
        "are to be cleared by whoever publishes. Models make more mistakes on people whom their training "
        "data shows rarely: small, crowded, seen from unusual sides, in unusual clothes, or painted.",
        "",
    ]
    return "\n".join(lines)


def _made_with(provenance: Provenance) -> Iterator[str]:
    """A row for each model, file and run that the rows depend on."""
    models = {
        "pose model": provenance.pose_model,
        "second pose model": provenance.second_pose_model,
        "detector": provenance.detector,
    }
    for role, model in models.items():
        if model:
            yield f"| {role} | {model.name}, weights `{model.weights}` sha256 `{model.sha256}` |"
    for role, file in {"boxes": provenance.boxes, "calibration": provenance.calibration}.items():
        if file:
            yield f"| {role} | `{file.name}` sha256 `{file.sha256}` |"
    if base := provenance.derived_from:
        yield f"| made from | `{base.run}` rows sha256 `{base.rows_sha256}`: its {', '.join(base.reused)} |"


def _quality(evaluation: dict[str, Any] | None) -> list[str]:
    if evaluation is None:
        return ["Not measured: no ground truth was given to `annotator report --gt`."]
    people, keypoints = evaluation["labelled_people"], evaluation["keypoints"]
    figures = ", ".join(
        f"{name} {value:.3f}" for name, value in keypoints.items() if value is not None and name in
        ("AP", "AP50", "AP75", "AR")
    )  # fmt: skip
    return [
        f"Against ground truth of {people['labelled']:,} people in {evaluation['images']:,} images: "
        f"{figures} (COCO keypoints). Found {people['found']:,}, found with a wrong pose "
        f"{people['pose_wrong']:,}, missed {people['missed']:,}."
    ]
