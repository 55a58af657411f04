"""`annotator parity`: is a model run here the same as MMPose's?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

Option = typer.Option


def parity(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|CONFIG.py]...",
            help="Models; without any, a small one for each way of encoding keypoints.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        Option(
            metavar="FILE",
            help="Checkpoint of the one model named.",
            show_default="official ones if here, else random ones",
        ),
    ] = None,
    weights_dir: Annotated[
        str | None, Option(metavar="DIR", help="Where weights are kept.", show_default=False)
    ] = None,
    images: Annotated[
        str | None,
        Option(metavar="DIR", help="Photos to look at.", show_default="synthetic people"),
    ] = None,
    people: Annotated[int, Option(min=1, help="Crops a model looks at.")] = 8,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare crops, raw outputs and keypoints with MMPose's own; exit 1 if a model differs."""
    from annotator.cli import print_json
    from annotator.errors import UserError
    from annotator.parity.check import check_all, sources
    from annotator.parity.pictures import from_folder, synthetic
    from annotator.parity.verdict import table

    if weights is not None and len(names or ()) != 1:
        raise UserError(
            "--weights is for one model: name it, as in `annotator parity CONFIG.py --weights FILE`"
        )
    models = sources(names or (), weights, weights_dir)
    pictures = from_folder(images, people) if images else synthetic(people)
    verdicts = []
    for verdict in check_all(models, pictures):
        verdicts.append(verdict)
        if not as_json:
            print(f"{verdict.name} {'ok' if verdict.ok else 'FAIL'}", file=sys.stderr, flush=True)
    ok = all(verdict.ok for verdict in verdicts)
    if as_json:
        print_json({"ok": ok, "models": [verdict.to_dict() for verdict in verdicts]})
    else:
        print(table(verdicts))
    sys.exit(0 if ok else 1)
