"""What to do next about a run, from what its evaluation says."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

# Gains of AP that are below what a few labels more or less would change.
SMALL_GAIN = 0.005
MOST = 4

# By what the evaluation corrects: what is wrong, what helps, and a command ({run} is its folder), or "".
_REMEDIES = {
    "missed_people": (
        "{missed:,} of {labelled:,} labelled people were not found by any box",
        "a better detector, or a lower detector_threshold, finds more; no queue of people shows them",
        "annotator models list",
    ),
    "extra_people": (
        "{extra:,} people were found whom nobody labelled",
        "find the score below which they are, and leave them out of exports",
        "annotator export {run} --format coco --min-score 0.2 --to annotations.json",
    ),
    "ranking": (
        "scores rank wrong poses above right ones",
        "look at the people whose score and pose disagree first",
        "annotator queue {run} --gt {gt}",
    ),
    "jitter": (
        "{n:,} joints ({share:.0%}) are near their place, not on it",
        "a model with a larger input or a finer decoder (UDP, DARK), and the flip test, place joints better",
        "annotator models list",
    ),
    "miss": (
        "{n:,} joints ({share:.0%}) are far from their place",
        "a stronger model helps; until then review people with the lowest joint scores",
        "annotator queue {run}",
    ),
    "inversion": (
        "{n:,} joints ({share:.0%}) are on the other side of the same person",
        "review the likely left/right swaps",
        "annotator review load {run}",
    ),
    "swap": (
        "{n:,} joints ({share:.0%}) are on another person",
        "tighter boxes and a stronger model help in crowds; review the crowded pictures",
        "annotator review load {run}",
    ),
}


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do: what is wrong, what it costs in keypoint AP, what helps, a command ("" for none)."""

    problem: str
    cost: float
    remedy: str
    command: str


def advise(figures: dict[str, Any], run: str, gt: str) -> list[Advice]:
    """The errors that cost the most, dearest first; nothing when none costs `SMALL_GAIN`.

    Args:
        figures: as `evaluation.evaluate` returns. run, gt: paths, for the commands.
    """
    corrected = figures["ap_if_corrected"]
    now, joints, people = corrected["nothing"], figures["joint_errors"], figures["labelled_people"]
    if now is None:
        return []
    judged = max(1, sum(joints.values()))
    found = []
    for name, (problem, remedy, command) in _REMEDIES.items():
        gain = (corrected[name] if corrected[name] is not None else now) - now
        if gain >= SMALL_GAIN:
            numbers = {"n": joints.get(name, 0), "share": joints.get(name, 0) / judged, **people}
            paths = {"run": shlex.quote(run), "gt": shlex.quote(gt)}
            found.append(Advice(problem.format(**numbers), gain, remedy, command.format(**paths)))
    return sorted(found, key=lambda advice: -advice.cost)[:MOST]
