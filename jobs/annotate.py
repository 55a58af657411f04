"""What `ray job submit` runs: `annotator run` on the cluster that the job was submitted to.

    ray job submit --working-dir . -- python jobs/annotate.py INPUT... --out /data/runs/RUN [OPTIONS]

A job that was stopped, or whose head node died, is submitted again with the same arguments and goes on with
what is missing. The exit code is that of `annotator run`: a job with error rows (3) counts as failed for Ray;
pass `--accept-error-rows` to have it count as done.
"""

from __future__ import annotations

import os
import sys

ACCEPT = "--accept-error-rows"
FINISHED_WITH_ERROR_ROWS = 3


def main() -> None:
    from annotator.cli import main as annotator

    arguments = [argument for argument in sys.argv[1:] if argument != ACCEPT]
    if not any(argument.partition("=")[0] == "--address" for argument in arguments):
        # Within a job Ray names its cluster in RAY_ADDRESS.
        arguments += ["--address", os.environ.get("RAY_ADDRESS", "auto")]
    accept = ACCEPT in sys.argv
    sys.argv = ["annotator", "run", *arguments]
    try:
        annotator()
    except SystemExit as done:
        if accept and done.code == FINISHED_WITH_ERROR_ROWS:
            sys.exit(0)
        raise


if __name__ == "__main__":
    main()
