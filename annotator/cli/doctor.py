"""`annotator doctor`: is this machine fit for a run?"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

SIGNS = {"ok": "ok  ", "warning": "note", "failed": "FAIL"}


def doctor(
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Where runs will be written.")] = ".",
    weights_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where weights are kept.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check Python, torch, operations, Ray, ffmpeg, mongod, disk and weights; say how to fix each."""
    from annotator.cli import print_json
    from annotator.doctor import examine

    checks = []
    for check in examine(out, weights_dir):
        checks.append(check)
        if not as_json:
            print(f"{SIGNS[check.status]}  {check.name:<12} {check.found}", flush=True)
            if check.fix:
                print(f"{'':<19}-> {check.fix}")
    failed = any(check.status == "failed" for check in checks)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    sys.exit(1 if failed else 0)
