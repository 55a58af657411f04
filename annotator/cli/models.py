"""`annotator models`: what can be run, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from annotator.models.catalogue import Entry

app = typer.Typer(help="The catalogue of pose models and detectors.", no_args_is_help=True)

WeightsDir = Annotated[
    str | None, typer.Option(metavar="DIR", help="Where weights are kept.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list")
def list_models(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Only names that contain this.")] = "",
    task: Annotated[str | None, typer.Option(help="body, wholebody, hand or detection.")] = None,
    paradigm: Annotated[str | None, typer.Option(help="Such as top-down, bottom-up or one-stage.")] = None,
    short: Annotated[bool, typer.Option("--short", help="Only models with a short name.")] = False,
    weights_dir: WeightsDir = None,
    as_json: JsonOption = False,
) -> None:
    """List models with their published accuracy, and whether their weights are at hand."""
    from annotator.cli import print_json
    from annotator.models import catalogue

    entries = [
        entry
        for entry in (*catalogue.pose_models().values(), *catalogue.detectors().values())
        if text.lower() in " ".join((entry.name, *entry.short_names)).lower()
        and (task is None or task in (entry.task, entry.kind))
        and (paradigm is None or paradigm.lower() in entry.paradigm.lower())
        and (entry.short_names or not short)
    ]
    rows = [_row(entry, weights_dir) for entry in entries]
    if as_json:
        print_json({"models": rows})
        return
    print(f"{'name':<52} {'paradigm':<20} {'input':>9} {'AP':>6}  weights")
    for row in rows:
        size = "x".join(map(str, row["input_size"])) if row["input_size"] else "-"
        ap = f"{row['ap']:.3f}" if row["ap"] is not None else "-"
        name = ", ".join(row["short_names"]) or row["name"]
        at_hand = "here" if row["weights_at_hand"] else "to fetch" if row["url"] else "none published"
        print(f"{name:<52} {row['paradigm'] or row['kind']:<20} {size:>9} {ap:>6}  {at_hand}")
    print(f"\n{len(rows)} models. `annotator models show NAME` says more; configs of your own work as well.")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Short name or config's name.")],
    weights_dir: WeightsDir = None,
    as_json: JsonOption = False,
) -> None:
    """Everything known about one model."""
    from annotator.cli import print_json

    row = _row(_find(name), weights_dir)
    if as_json:
        print_json(row)
        return
    for key, value in row.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for data_set, figures in value.items():
                print(
                    f"  {data_set}: " + ", ".join(f"{metric} {figure}" for metric, figure in figures.items())
                )
        else:
            print(f"{key + ':':<18} {', '.join(map(str, value)) if isinstance(value, list) else value}")


@app.command("pull")
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False)],
    weights_dir: WeightsDir = None,
) -> None:
    """Fetch official weights, checked against the sha256 in their file names."""
    from annotator.errors import UserError
    from annotator.models import fetch
    from annotator.runtime.progress import ProgressBar

    entries = [_find(name) for name in names]
    for entry in entries:
        if entry.url is None:
            raise UserError(f"{entry.name}: no weights are published for it")
    with ProgressBar() as bar:
        fetched = fetch.fetch_all([entry.url for entry in entries if entry.url], weights_dir, bar.download)
    for path, sha256 in fetched:
        print(f"{path}  sha256 {sha256}")


def _find(name: str) -> Entry:
    from annotator.errors import UserError
    from annotator.models import catalogue

    try:
        return catalogue.find_detector(name)
    except UserError:
        return catalogue.find_pose(name)


def _row(entry: Entry, weights_dir: str | None) -> dict[str, Any]:
    from annotator.models import fetch

    found = fetch.find(entry.url, weights_dir) if entry.url else None
    figures = next((dict(results) for results in entry.results.values()), {})
    return {
        "name": entry.name,
        "short_names": list(entry.short_names),
        "kind": entry.kind,
        "task": entry.task,
        "paradigm": entry.paradigm,
        "backbone": entry.backbone,
        "input_size": list(entry.input_size) if entry.input_size else None,
        "ap": figures.get("AP", figures.get("box AP")),
        "training_data": list(entry.training_data),
        "license": entry.license,
        "config": str(entry.config),
        "url": entry.url,
        "weights_at_hand": str(found) if found else None,
        "results": {data_set: dict(values) for data_set, values in entry.results.items()},
    }
