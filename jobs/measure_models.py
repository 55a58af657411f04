"""Measures what the models of the catalogue cost and writes `annotator/models/zoo/costs.json`.

Run it after a change of the catalogue or of mmpose: `python jobs/measure_models.py`. Models with a short name
are measured; `--all` measures every pose model.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from annotator.errors import UserError
from annotator.models.zoo import catalogue, cost

TARGET = Path(__file__).resolve().parent.parent / "annotator" / "models" / "zoo" / cost.SHIPPED


def main() -> None:
    """Measure, print a line a model, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--all", action="store_true", help="every pose model, not only those with short names"
    )
    everything = parser.parse_args().all
    costs = {}
    for entry in (*catalogue.pose_models().values(), *catalogue.detectors().values()):
        if not (entry.short_names or (everything and entry.kind == "pose")):
            continue
        try:
            found = cost.measure(entry.config, "pose" if entry.kind == "pose" else "detector")
        except UserError as error:
            print(f"{entry.name}: {error}", file=sys.stderr)
            continue
        costs[entry.name] = found.to_dict()
        gmacs = "-" if found.gmacs is None else f"{found.gmacs:.2f}"
        print(f"{entry.name}: {found.params / 1e6:.2f} M, {gmacs} GMACs", flush=True)
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(costs[name])}" for name in sorted(costs))
    TARGET.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
