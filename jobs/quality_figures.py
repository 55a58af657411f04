"""What each signal is worth on a run with ground truth: the figures of docs/quality.md.

    python jobs/quality_figures.py RUN --gt COCO.json [--bad-below 0.75] [--json]

AUROC and captured shares of bad labels for each signal, with intervals over images; false people; doubles;
exchanged sides; and which share of the run the signals took.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from annotator.errors import UserError
from annotator.quality.curve import review_curve
from annotator.quality.fit import auroc
from annotator.quality.labelled import Labelled, label, scalar_column
from annotator.quality.queue import mean_rank
from annotator.store.reader import Run

# Column and whether more of it is better.
SIGNALS = {
    "score": True, "pose_score": True, "bbox_score": True, "person_score": True, "entropy": False,
    "flip_oks": True, "bone_outliers": False, "joints_outside_box": False, "max_iou": False,
    "second_oks": True,
}  # fmt: skip
AVERAGE = ("pose_score", "entropy", "flip_oks")


def bad_labels(run: Run, labelled: Labelled, bad_below: float) -> dict[str, Any]:
    """Of the people with a truth: how well each signal ranks the bad ones first."""
    known = labelled.matched & labelled.judged
    bad, images = (labelled.oks < bad_below)[known], labelled.images[known]
    risks = {}
    for name, more_is_better in SIGNALS.items():
        values = scalar_column(run, name)[known]
        if np.isfinite(values).any():
            risks[name] = mean_rank(-values if more_is_better else values)
    risks["average of " + ", ".join(AVERAGE)] = np.mean([risks[n] for n in AVERAGE if n in risks], axis=0)
    figures = {}
    for name, risk in risks.items():
        curve = review_curve(risk, bad, images)
        at = {f"{one.share:.0%}": (one.found, one.low, one.high) for one in curve.at}
        figures[name] = {"auroc": curve.auroc, "found": at}
    return {"people": int(known.sum()), "bad": int(bad.sum()), "images": len(set(images)), "signals": figures}


def false_people(run: Run, labelled: Labelled) -> dict[str, Any]:
    """Of the people that count: how well those who match nobody are told."""
    judged = labelled.judged
    real = labelled.matched[judged]
    figures: dict[str, Any] = {"people": int(judged.sum()), "false": int((~real).sum())}
    for name in ("bbox_score", "pose_score", "person_score", "score"):
        figures[name] = auroc(scalar_column(run, name)[judged], real)
    ranks = [mean_rank(scalar_column(run, name)[judged]) for name in ("bbox_score", "pose_score")]
    figures["rank of both"] = auroc(np.mean(ranks, axis=0), real)
    flagged = scalar_column(run, "likely_phantom")[judged] > 0
    figures["likely_phantom"] = {
        "flagged": int(flagged.sum()),
        "real people among them": int((flagged & real).sum()),
        "false people left": int((~flagged & ~real).sum()),
        "real people left": int((~flagged & real).sum()),
    }
    person = scalar_column(run, "person_score")[judged]
    figures["by person_score"] = {
        f"{limit:.2f}": (int((real & (person < limit)).sum()), int((~real & (person >= limit)).sum()))
        for limit in (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
    }
    return figures


def doubles(run: Run, labelled: Labelled) -> dict[str, Any]:
    """Of the people flagged as somebody again: how many match somebody of their own."""
    flagged = np.isfinite(scalar_column(run, "duplicate_of"))
    shown = scalar_column(run, "likely_phantom") == 0
    suppressed = scalar_column(run, "nms_suppressed") > 0
    return {
        "flagged": int(flagged.sum()),
        "of them somebody of their own": int((flagged & labelled.matched).sum()),
        "flagged, not phantoms": int((flagged & shown).sum()),
        "of those somebody of their own": int((flagged & shown & labelled.matched).sum()),
        "suppressed by NMS": int(suppressed.sum()),
    }


def cost(run: Run) -> dict[str, float]:
    """Seconds of the run, and of judging people in it (the share of entropy and flip is in `pose`)."""
    stats = [record.stats for record in run.committed().values()]
    seconds = sum(float(one.get("seconds", 0)) for one in stats)
    signals = sum(float(one.get("signals", 0)) for one in stats)
    return {"seconds": seconds, "signals": signals, "share": signals / max(seconds, 1e-9)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--gt", required=True)
    parser.add_argument("--bad-below", type=float, default=0.75)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    run = Run(options.run)
    labelled = label(run, options.gt)
    try:
        ranking = bad_labels(run, labelled, options.bad_below)
    except UserError as error:
        ranking = {"signals": {}, "why": str(error)}
    figures = {
        "bad_labels": ranking,
        "missed": labelled.missed,
        "false_people": false_people(run, labelled),
        "doubles": doubles(run, labelled),
        "cost": cost(run),
    }
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    print({name: value for name, value in ranking.items() if name != "signals"})
    for name, one in ranking["signals"].items():
        middle, low, high = one["auroc"]
        found = "  ".join(f"{share}: {value[0]:.2f}" for share, value in one["found"].items())
        print(f"  {name:<42} AUROC {middle:.3f} [{low:.2f}-{high:.2f}]  {found}")
    for name in ("missed", "false_people", "doubles", "cost"):
        print(name, figures[name])


if __name__ == "__main__":
    main()
