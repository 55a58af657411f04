"""`annotator retry`: what a run lacks, once more."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

Option = typer.Option


def retry(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    kind: Annotated[
        list[str] | None,
        Option(
            metavar="STAGE/KIND", help="Only errors of this kind, as `status` lists them.", show_default=False
        ),
    ] = None,
    weights_dir: Annotated[str | None, Option(metavar="DIR", show_default=False)] = None,
    device: Annotated[str | None, Option(show_default=False)] = None,
    executor: Annotated[Literal["ray", "inline"] | None, Option(show_default=False)] = None,
    address: Annotated[str | None, Option(metavar="ADDR", show_default=False)] = None,
    workers: Annotated[int | None, Option(metavar="N", show_default=False)] = None,
    as_json: Annotated[bool, Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Run the error rows again, and make lost shards whole; all other rows stay as they are, to the bit."""
    from annotator.cli import print_json
    from annotator.cli.run_report import describe, to_json
    from annotator.runtime.progress import ProgressBar
    from annotator.runtime.retry import retry as retry_run
    from annotator.runtime.stopping import stopping_in_order

    placement = {
        "weights_dir": weights_dir,
        "device": device,
        "executor": executor,
        "address": address,
        "workers": workers,
    }
    with stopping_in_order(), ProgressBar() as bar:
        report = retry_run(run, placement, bar, frozenset(kind or ()))
    if as_json:
        print_json(to_json(report))
    else:
        print(describe(report))
    sys.exit(report.exit_code)
