"""What a cascade costs in AP and saves in time: one run after another, from one that has the boxes.

    python jobs/cascade_figures.py RUN --gt COCO.json --to FOLDER --limits 0 0.4 0.5 0.6 0.7 9 \\
        -- --pose CHEAP --second-pose STRONG [options of `annotator run`]

Each limit is a `cascade_pose_score`: 0 leaves everybody to the first model, 9 gives the second everybody with
a box score of `cascade_bbox_score`. Run it where nothing else runs: time is the workers' own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def annotator(*arguments: object) -> dict[str, Any]:
    """`annotator ... --json`; ends this program when it fails."""
    command = [sys.executable, "-m", "annotator.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--gt", required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--limits", type=float, nargs="+", required=True)
    options, rest = parser.parse_known_args()
    rest = [one for one in rest if one != "--"]
    print(f"{'limit':>6} {'people':>7} {'second':>7} {'AP':>7} {'AP50':>7} {'seconds':>8} {'saved':>6}")
    for limit in options.limits:
        out = options.to / f"limit-{limit:g}"
        made = annotator(
            "run",
            "--from",
            options.run,
            "--out",
            out,
            "--cascade",
            "--set",
            f"cascade_pose_score={limit:g}",
            *rest,
        )["second"]
        found = annotator("eval", out, "--gt", options.gt)["keypoints"]
        took = made["first_seconds"] + made["second_seconds"]
        saved = "" if made["saved"] is None else f"{made['saved']:.0%}"
        print(
            f"{limit:>6g} {made['first_people']:>7} {made['second_people']:>7} {found['AP']:>7.3f} "
            f"{found['AP50']:>7.3f} {took:>8.1f} {saved:>6}",
            flush=True,
        )


if __name__ == "__main__":
    main()
