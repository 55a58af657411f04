"""The verbs of the command line: parse, call, print. What a verb does lives in the rooms.

Nothing imports this package, and it imports nothing heavy before a verb is chosen.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import NoReturn

import typer

from annotator.errors import AnnotatorError, RunFailed
from annotator.runtime.stopping import Stopped

app = typer.Typer(
    name="annotator",
    help="Annotate human pose in piles of images: COCO keypoints in Parquet, by MMDetection and MMPose.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> NoReturn:
    """Entry point of `annotator`. Exit codes: 0 done, 3 done with error rows, 2 user's mistake, 1 failed."""
    from annotator.cli import (
        bench,
        calibrate,
        demo,
        doctor,
        evaluate,
        export,
        forget,
        models,
        parity,
        queue,
        report,
        retry,
        review,
        run,
        status,
        synth,
    )

    logging.basicConfig(level=logging.WARNING, format="annotator: %(message)s")
    app.command("run")(run.run)
    app.command("status")(status.status)
    app.command("verify")(status.verify)
    app.command("retry")(retry.retry)
    app.command("eval")(evaluate.evaluate)
    app.command("queue")(queue.queue)
    app.command("calibrate")(calibrate.calibrate)
    app.command("export")(export.export)
    app.command("report")(report.report)
    app.command("forget")(forget.forget)
    app.add_typer(models.app, name="models")
    app.add_typer(review.app, name="review")
    app.command("parity")(parity.parity)
    app.command("bench")(bench.bench)
    app.command("demo")(demo.demo)
    app.command("synth")(synth.synth)
    app.command("doctor")(doctor.doctor)
    try:
        app(_optional_json_file(sys.argv[1:]))
    except AnnotatorError as error:
        fail(error)
    except Stopped as stopped:
        print(f"annotator: {stopped}; run the same command again to go on", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno is None or error.filename is None:
            raise
        # A disk that does not answer, a file that went away meanwhile: no mistake in the program.
        fail(RunFailed(f"{error.filename}: {error.strerror}; mend that, then run this again"))
    sys.exit(0)


def _optional_json_file(arguments: list[str]) -> list[str]:
    """Give `eval --json` its "-" where no FILE.json follows; the parser knows no optional values."""
    if arguments[:1] != ["eval"] or "--json" not in arguments:
        return arguments
    place = arguments.index("--json") + 1
    if arguments[place : place + 1] and (arguments[place].endswith(".json") or arguments[place] == "-"):
        return arguments
    return [*arguments[:place], "-", *arguments[place:]]


def fail(error: AnnotatorError) -> NoReturn:
    """Say what is wrong in one line on stderr and leave with the error's exit code."""
    print(f"annotator: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


def print_json(data: object) -> None:
    """The one JSON object that `--json` promises on stdout."""
    print(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))
