"""`annotator models`: what can be run, by name, at what cost, and what to take for which goal."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from annotator.models.zoo.cards import Card
    from annotator.models.zoo.catalogue import Entry

app = typer.Typer(help="The catalogue of pose models and detectors, and advice.", no_args_is_help=True)

Option = typer.Option
WeightsDir = Annotated[str | None, Option(metavar="DIR", help="Where weights are kept.", show_default=False)]
JsonOption = Annotated[bool, Option("--json", help="Print one JSON object.")]

_TASKS = ("body", "wholebody", "hand", "detection")
_NAME_WIDTH = 47
_DATA_WIDTH = 14
_ABBREVIATED = {"AI Challenger": "AIC", "COCO-WholeBody": "WholeBody", "COCO-WholeBody-Hand": "WB-Hand"}


@app.command("list")
def list_models(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Part of a name or backbone.")] = "",
    task: Annotated[
        Literal["body", "wholebody", "hand", "detection", "pose", "detector"] | None,
        Option(show_default=False),
    ] = None,
    paradigm: Annotated[
        str | None, Option(help="Such as top-down, heatmap, bottom-up or one-stage.", show_default=False)
    ] = None,
    data: Annotated[str | None, Option(help="Trained on this data set.", show_default=False)] = None,
    short: Annotated[bool, Option("--short", help="Only models with a short name.")] = False,
    with_weights: Annotated[
        bool, Option("--with-weights", help="Only models whose weights are here.")
    ] = False,
    max_gmacs: Annotated[
        float | None,
        Option(help="At most so many billion multiply-accumulates a crop or image.", show_default=False),
    ] = None,
    max_params: Annotated[
        float | None, Option(help="At most so many million parameters.", show_default=False)
    ] = None,
    min_ap: Annotated[float | None, Option(help="Published AP from 0 to 1.", show_default=False)] = None,
    sort: Annotated[Literal["catalogue", "ap", "gmacs", "params", "name"], Option()] = "catalogue",
    weights_dir: WeightsDir = None,
    as_json: JsonOption = False,
) -> None:
    """List models: accuracy as published, cost as measured, and whether their weights are at hand."""
    from annotator.cli import print_json
    from annotator.models.zoo.cards import Filter, cards

    wanted = Filter(text, task, paradigm, data, short, with_weights, max_gmacs, max_params, min_ap)
    found = [card for card in cards(weights_dir) if wanted(card)]
    if sort != "catalogue":
        found.sort(key=lambda card: _sort_key(card, sort))
    else:
        found.sort(key=lambda card: (_TASKS.index(card.entry.task), card.entry.paradigm))
    if as_json:
        print_json({"models": [card.to_dict() for card in found]})
        return
    # Sorted lists are for comparing: one table. Else one for each kind.
    groups = itertools.groupby(found, _group) if sort == "catalogue" else [("", found)]
    for title, members in groups:
        _print_table(title, list(members))
    licenses = ", ".join(sorted({card.entry.license for card in found})) or "-"
    print(
        f"{len(found)} models. Input: width x height; params: millions; GMACs: billion multiply-accumulates "
        "a crop (a whole image\nfor bottom-up, one-stage and detectors), without flip test. "
        f"Licence of code and weights: {licenses}; the data trained on\nhas its own terms. "
        "`annotator models show NAME` says more; your own configs work as well."
    )


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Short name or config's name.")],
    weights_dir: WeightsDir = None,
    as_json: JsonOption = False,
) -> None:
    """Everything known about one model; its cost is measured now where it is not on file."""
    from annotator.cli import print_json
    from annotator.models.zoo.cards import card
    from annotator.models.zoo.catalogue import find

    row = card(find(name), weights_dir, measure=True).to_dict()
    if as_json:
        print_json(row)
        return
    for key, value in row.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for data_set, figures in value.items():
                values = ", ".join(f"{metric} {figure}" for metric, figure in figures.items())
                print(f"  {data_set}: {values}")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            print(f"{key + ':':<18} {'-' if shown in (None, '') else shown}")


@app.command("pull")
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False)],
    weights_dir: WeightsDir = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch official weights, checked against the sha256 in their file names."""
    from annotator.cli import print_json
    from annotator.errors import UserError
    from annotator.models.weights import fetch
    from annotator.models.zoo.catalogue import find
    from annotator.runtime.progress import ProgressBar

    entries = [find(name) for name in names]
    for entry in entries:
        if entry.url is None and entry.weights is None:
            raise UserError(f"{entry.name}: no weights are published for it")
    urls = list(dict.fromkeys(entry.url for entry in entries if entry.url))
    with ProgressBar() as bar:
        fetched = dict(zip(urls, fetch.fetch_all(urls, weights_dir, bar.download), strict=True))
    if as_json:
        print_json({"models": [_pulled(entry, fetched) for entry in entries]})
        return
    for path, sha256 in fetched.values():
        print(f"{path}  sha256 {sha256}")
    for entry in entries:
        if entry.weights is not None:
            print(f"{entry.weights}  ships with the package: nothing to fetch")


@app.command("recommend")
def recommend(
    goal: Annotated[
        Literal["accuracy", "realtime", "edge", "crowd"],
        Option(help="accuracy: best labels; realtime: a stream; edge: no GPU; crowd: many people an image."),
    ],
    gpu: Annotated[float | None, Option(metavar="GB", help="Memory of the GPU.", show_default=False)] = None,
    weights_dir: WeightsDir = None,
    as_json: JsonOption = False,
) -> None:
    """Which models to take for a goal, why, at what cost, and what was not measured."""
    from annotator.cli import print_json
    from annotator.models.zoo.advice import advise

    advice = advise(goal, gpu, weights_dir)
    if as_json:
        print_json(advice.to_dict())
    else:
        print(advice.text())


def _pulled(entry: Entry, fetched: dict[str, tuple[Path, str]]) -> dict[str, str]:
    """A model's weights, fetched from its address or shipped with the package."""
    from annotator.models.weights.fetch import sha256_of

    if entry.weights is not None:
        path, sha256 = entry.weights, sha256_of(entry.weights)
    else:
        path, sha256 = fetched[str(entry.url)]
    return {"name": entry.name, "weights": str(path), "sha256": sha256}


def _group(card: Card) -> str:
    entry = card.entry
    return "detectors" if entry.kind == "detector" else f"{entry.task}, {entry.paradigm}"


def _sort_key(card: Card, sort: str) -> tuple:
    """Best first: high AP, low cost; what is unknown comes last."""
    ap, found = card.entry.ap, card.cost
    gmacs = found.gmacs if found else None
    value = {
        "name": card.shortest_name,
        "ap": None if ap is None else -ap,
        "gmacs": gmacs,
        "params": found.params if found else None,
    }[sort]
    return value is None, value, card.entry.name


def _print_table(title: str, cards: list[Card]) -> None:
    heading = f"{title:<{_NAME_WIDTH}} {'backbone':<12} {'input':>8} {'AP':>5} {'params':>7} {'GMACs':>7}"
    print(f"{heading}  {'trained on':<{_DATA_WIDTH}} weights")
    for card in cards:
        entry, found = card.entry, card.cost
        input_size = entry.input_size or (found.input_size if found else None)
        size = "x".join(map(str, input_size)) if input_size else "-"
        ap = "-" if entry.ap is None else f"{entry.ap:.3f}"
        params = "-" if found is None else f"{found.params / 1e6:.2f}"
        gmacs = "-" if found is None or found.gmacs is None else f"{found.gmacs:.2f}"
        weights = "here" if card.weights else "to fetch" if entry.url else "none"
        if entry.unsupported is not None:
            weights = "unsupported"
        name = ", ".join(entry.short_names) or entry.name
        if len(name) > _NAME_WIDTH:
            print(name)
            name = ""
        print(
            f"{name:<{_NAME_WIDTH}} {entry.backbone[:12]:<12} {size:>8} {ap:>5} {params:>7} {gmacs:>7}  "
            f"{_data(entry.training_data):<{_DATA_WIDTH}} {weights}"
        )
    for reason in dict.fromkeys(card.entry.unsupported for card in cards if card.entry.unsupported):
        print(f"unsupported: {reason}")
    print()


def _data(names: tuple[str, ...]) -> str:
    text = "+".join(_ABBREVIATED.get(name, name) for name in names)
    if len(text) <= _DATA_WIDTH:
        return text
    return f"{len(names)} data sets" if len(names) > 1 else text[:_DATA_WIDTH]
