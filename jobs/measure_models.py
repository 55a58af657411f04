"""Measures what the models of the catalogue cost and writes `annotator/models/zoo/costs.json`.

Run it after a change of the catalogue or of mmpose: `python jobs/measure_models.py --again`. Models with a
short name are measured; `--all` measures every pose model, for minutes. What the file has already is kept
without `--again`, and it is written after each model: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotator.errors import UserError
from annotator.models.zoo import catalogue, cost

TARGET = Path(__file__).resolve().parent.parent / "annotator" / "models" / "zoo" / cost.SHIPPED


def main() -> None:
    """Measure, print a line a model, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--all", action="store_true", help="every pose model, not only those with short names"
    )
    parser.add_argument("--again", action="store_true", help="also those that the file has")
    given = parser.parse_args()
    costs = {} if given.again else json.loads(TARGET.read_text(encoding="utf-8"))
    for entry in (*catalogue.pose_models().values(), *catalogue.detectors().values()):
        wanted = entry.short_names or (given.all and entry.kind == "pose")
        if not wanted or entry.name in costs:
            continue
        try:
            found = cost.measure(entry.config, "pose" if entry.kind == "pose" else "detector")
        except UserError as error:
            print(f"{entry.name}: {error}", file=sys.stderr)
            continue
        costs[entry.name] = found.to_dict()
        gmacs = "-" if found.gmacs is None else f"{found.gmacs:.2f}"
        print(f"{entry.name}: {found.params / 1e6:.2f} M, {gmacs} GMACs", flush=True)
        write(costs)


def write(costs: Mapping[str, Any]) -> None:
    """Replace the file: a line a model, by name."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(costs[name])}" for name in sorted(costs))
    aside = TARGET.with_suffix(".part")
    aside.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    aside.replace(TARGET)


if __name__ == "__main__":
    main()
