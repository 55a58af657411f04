"""Runs every model of the survey on real photos through the command line, and prints what came of it.

    python jobs/run_survey.py PHOTOS PEOPLE.json [--limit 1] [--only NAME ...] [--out TABLE.json]

Weights are seeded random ones, so the rows mean nothing: what is shown is that each model runs, with its own
skeleton and finite numbers, and that its parameters and multiply-accumulates are the survey's. Models that
find people by themselves get ones with which they think that there are some.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer
from typer.testing import CliRunner

from annotator.cli.run import run as run_verb
from annotator.errors import AnnotatorError
from annotator.models.sources import needs_boxes, resolve_pose
from annotator.models.zoo import catalogue, cost
from annotator.parity.pictures import from_folder
from annotator.parity.random_weights import responsive
from annotator.parity.survey import SURVEY, Row
from annotator.store.reader import Run


def main() -> None:
    """Run the rows one after the other; exits 1 if one fails or costs something else."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("people", help="COCO file with person boxes, for top-down models")
    parser.add_argument("--limit", type=int, default=1, help="photos")
    parser.add_argument("--only", nargs="*", help="names of the survey; default: all")
    parser.add_argument("--out", help="write the table as JSON")
    given = parser.parse_args()
    results = []
    for row in SURVEY:
        if given.only and row.name not in given.only:
            continue
        results.append(run_row(row, given.photos, given.people, given.limit))
        print(line(results[-1]), flush=True)
        if given.out:
            Path(given.out).write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(any(result["error"] for result in results))


def run_row(row: Row, photos: str, people: str, limit: int) -> dict[str, Any]:
    """What came of one model: rows, seconds, figures, and what is wrong with them, if anything."""
    source = resolve_pose(row.name, "random")
    result = {"name": row.name, "seconds": 0.0, "images": 0, "people": 0, "joints": 0} | figures(row)
    with TemporaryDirectory() as folder:
        if needs_boxes(source):
            wanted = ["--pose-weights", "random", "--boxes", people]
        else:
            seeing = responsive(source, from_folder(photos, 4), Path(folder))
            wanted = ["--pose-weights", str(seeing.weights_path)]
        arguments = [
            photos, "--out", f"{folder}/run", "--pose", row.name, "--executor", "inline",
            "--limit", str(limit), "--set", "quiet=true", "--set", "detector_threshold=0", "--json", *wanted,
        ]  # fmt: skip
        started = time.perf_counter()
        done = CliRunner().invoke(_program(), arguments)
        result["seconds"] = round(time.perf_counter() - started, 1)
        wrong = _wrong(f"{folder}/run", result, limit) or (done.exit_code and repr(done.exception)) or None
    return result | {"error": result["error"] or wrong}


def _program() -> typer.Typer:
    """`annotator run` alone, in this process: importing torch and MMPose thirty times takes minutes."""
    program = typer.Typer()
    program.command()(run_verb)
    return program


def figures(row: Row) -> dict[str, Any]:
    """Parameters (millions) and multiply-accumulates (10^9) of a row, and where they leave the survey's."""
    entry = catalogue.find_pose(row.name)
    found = cost.known(entry) or cost.measure(entry.config, "pose")
    params, gmacs = found.params / 1e6, found.gmacs
    wrong = None
    if row.params is not None and abs(params / row.params - 1) > 0.005:
        wrong = f"{params:.2f} M parameters, the survey says {row.params}"
    # The survey's figures have two decimals.
    if row.gmacs is not None and (gmacs is None or abs(gmacs - row.gmacs) > 0.01 * row.gmacs + 0.005):
        wrong = f"{gmacs} GMACs, the survey says {row.gmacs}"
    return {"params_m": round(params, 3), "gmacs": gmacs and round(gmacs, 3), "error": wrong}


def _wrong(run_dir: str, result: dict[str, Any], limit: int) -> str | None:
    """Fill in the counts of a finished run; what is wrong with its rows, or None."""
    try:
        run = Run(run_dir)
        for batch in run.images(["index", "error_message"]):
            result["images"] += len(batch)
            errors = [message for message in batch["error_message"].to_pylist() if message]
            if errors:
                return f"{len(errors)} error rows: {errors[0]}"
        result["joints"] = len(run.skeleton)
        result["people"] = sum(len(batch) for batch in run.instances(["id"]))
    except AnnotatorError as error:
        return str(error)
    if result["images"] != limit or not result["people"]:
        return f"{result['images']} images, {result['people']} people"
    return None


def line(result: dict[str, Any]) -> str:
    """One model for people to read."""
    gmacs = "-" if result["gmacs"] is None else f"{result['gmacs']:.2f}"
    return (
        f"{'FAIL' if result['error'] else 'ok  '}  {result['name']:<44} {result['params_m']:>8.2f} M "
        f"{gmacs:>8} GMACs {result['images']:>3} images {result['people']:>4} people "
        f"{result['joints']:>4} joints {result['seconds']:>6.1f} s  {result['error'] or ''}"
    ).rstrip()


if __name__ == "__main__":
    main()
