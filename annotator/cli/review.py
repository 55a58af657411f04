"""`annotator review`: people look at a run in FiftyOne, and what they decide comes back as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from annotator.review.workplace import Workplace
    from annotator.store.reader import Run

app = typer.Typer(no_args_is_help=True, help="Look at a run in FiftyOne, decide, correct, and bring it back.")

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)]
DatabaseDir = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Where the database's data are.",
        show_default="RUN.review/database",
    ),
]
# Names of pictures in a line for people.
_SHOWN = 5

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def _opened(run: str, database_dir: str | None) -> tuple[Run, Workplace]:
    """A run and where its review lives.

    From here on SIGTERM ends the command as Ctrl-C does: the database is stopped, not left behind.
    """
    import signal

    from annotator.review.workplace import workplace
    from annotator.store.reader import Run

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell that starts a command in the background has it ignore Ctrl-C; `kill -INT` is meant all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    opened = Run(run)
    return opened, workplace(opened.path, database_dir)


@app.command("load")
def load(
    run: RunArgument,
    gt: Annotated[
        str | None,
        typer.Option(metavar="COCO.json", help="Ground truth to show beside.", show_default=False),
    ] = None,
    copies: Annotated[
        int,
        typer.Option(metavar="N", help="Copies of frames and of pictures that no browser shows, at most."),
    ] = 2000,
    database_dir: DatabaseDir = None,
    as_json: AsJson = False,
) -> None:
    """Load a run into FiftyOne, or renew its predictions there; what people decided is left alone."""
    from dataclasses import asdict

    from annotator.cli import print_json
    from annotator.review.load import load as load_run

    loaded = load_run(*_opened(run, database_dir), gt, copies)
    if as_json:
        print_json(asdict(loaded))
        return
    what = (
        f"{loaded.new:,} images new, {loaded.renewed:,} renewed"
        if loaded.new or loaded.renewed
        else "no change"
    )
    print(
        f"{loaded.dataset}: {loaded.images:,} images, {loaded.people:,} people; {what}; "
        f"{loaded.seconds:.1f} s"
    )
    if loaded.matched is not None:
        print(f"  {loaded.matched:,} images are in the ground truth")
    if loaded.no_truth is not None:
        print(f"  without the ground truth of the last load; --gt names another: {loaded.no_truth}")
    if loaded.brought_back:
        print(f"  {loaded.brought_back:,} people whom reviewers added were brought back from the reviews")
    if loaded.left_out:
        print(
            f"  {loaded.left_out:,} frames or pictures need a copy and are left out: --copies N allows more"
        )
    if loaded.unreadable:
        print(f"  {loaded.unreadable:,} could not be copied: their sources are gone or have changed")
    print(f"  annotator review open {run}")


@app.command("open")
def open_app(
    run: RunArgument,
    reviewer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who decides.", show_default="the user's name"),
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="N", help="Of the App.", show_default="5151, or a free one")
    ] = None,
    database_dir: DatabaseDir = None,
) -> None:
    """Serve FiftyOne's App with a loaded run on this machine, until Ctrl-C."""
    from annotator.review.app import app as serve

    opened, place = _opened(run, database_dir)
    try:
        with serve(place, opened, reviewer, port) as served:
            print(f"{served.begin}\n  open it in a browser; Ctrl-C ends it", flush=True)
            served.process.wait()
    except KeyboardInterrupt:
        print(f"\n  annotator review pull {run}")


@app.command("pull")
def pull(run: RunArgument, database_dir: DatabaseDir = None, as_json: AsJson = False) -> None:
    """Bring decisions and corrections back as a new layer in RUN/reviews; predictions stay as they are."""
    from dataclasses import asdict

    from annotator.cli import print_json
    from annotator.review.pull import pull as pull_reviews

    pulled = pull_reviews(*_opened(run, database_dir))
    again, drawn = pulled.send_back, pulled.of_nobody
    if as_json:
        plain = {
            "layer": pulled.layer and str(pulled.layer),
            "send_back": again.manifest and str(again.manifest),
            "send_back_images": again.images,
            "send_back_without_copy": again.without_copy,
            "of_nobody": drawn.labels,
            "of_nobody_in": drawn.pictures,
        }
        print_json(asdict(pulled) | plain)
        return
    if pulled.layer is None:
        print(f"{run}: nothing new")
    else:
        print(
            f"{pulled.layer}: {pulled.decided:,} people decided, {pulled.corrected:,} corrected, "
            f"{pulled.added:,} added"
        )
    if pulled.decisions:
        print(
            "  in all: " + ", ".join(f"{count:,} {name}" for name, count in sorted(pulled.decisions.items()))
        )
    if pulled.broken:
        print(f"  {pulled.broken:,} corrections cannot be read: vertices were added or removed (flag broken)")
    if drawn.labels:
        print(
            f"  {drawn.labels:,} boxes, skeletons or lines that were drawn in the App belong to nobody, and "
            f"stay there: in {_some(drawn.pictures)}. Add a person (Alt+P) makes people of boxes"
        )
    if pulled.unplaced:
        print(
            f"  {len(pulled.unplaced):,} people were added of whom no joint was placed yet; they stay in the "
            f"App: in {_some(pulled.unplaced)}. Drag their joints (Alt+E), or delete their lines"
        )
    if again.manifest is not None:
        print(f"  {again.images:,} images to annotate again: annotator run {again.manifest} --out AGAIN")
    if again.without_copy:
        print(
            f"  {again.without_copy:,} frames that were sent back cannot be listed: they have no copy here; "
            f"`annotator review load {run} --copies N` makes it, then pull again"
        )
    print(f"  annotator export {run} --reviewed accepted --to annotations.json")


def _some(names: tuple[str, ...]) -> str:
    """The first of many names, and how many more there are."""
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN:,} more (--json names all)" if len(names) > _SHOWN else shown
