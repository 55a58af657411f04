"""The figures of an evaluation as tables on the terminal."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from annotator.evaluate.advice import advise

_ERRORS = ("jitter", "miss", "inversion", "swap")
_CORRECTIONS = {
    "jitter": "jitter: near its place",
    "miss": "miss: far from it",
    "inversion": "inversion: on the other side",
    "swap": "swap: on another person",
    "all_joints": "all four",
    "missed_people": "people whom no box found",
    "extra_people": "people whom nobody labelled",
    "ranking": "scores that rank wrongly",
}


def show(run: str, gt: str, figures: dict[str, Any]) -> None:
    """Print figures, where points were lost, and what to do next."""
    console = Console(highlight=False, soft_wrap=True)
    people = figures["labelled_people"]
    console.print(f"[bold]{run}[/bold] against {gt}", markup=True)
    console.print(
        f"  {figures['images']:,} images, {figures['people']:,} people found, "
        f"{figures['gt_people']:,} in truth ({people['labelled']:,} with labelled joints)"
    )
    console.print(_coco(figures))
    console.print(_people(people))
    console.print(_costs(figures))
    console.print(_joints(figures["joints"]))
    console.print(_subsets(figures))
    for line in _remarks(figures):
        console.print(f"  {line}")
    steps = advise(figures, run, gt)
    console.print("\n[bold]What to do next[/bold]")
    for n, step in enumerate(steps, 1):
        console.print(f"  {n}. {step.problem} (AP +{step.cost:.3f} without): {step.remedy}", markup=False)
        console.print(f"       {step.command}", markup=False)
    if not steps:
        console.print("  no kind of error costs half a point of AP; measure on more pictures")


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for n, column in enumerate(columns):
        table.add_column(column, justify="right" if n else "left", no_wrap=True)
    return table


def _coco(figures: dict[str, Any]) -> Table:
    names = ("AP", "AP50", "AP75", "APS", "APM", "APL", "AR", "AR75")
    table = _table("COCO", *names)
    for kind in ("keypoints", "bbox"):
        table.add_row(kind, *(_figure(figures[kind].get(name), 4) for name in names))
    return table


def _people(people: dict[str, Any]) -> Table:
    table = _table("labelled people", "number", "share")
    for name, text in (
        ("found", "found, OKS 0.5 or more"),
        ("pose_wrong", "detected, pose wrong"),
        ("missed", "not detected"),
    ):
        table.add_row(text, f"{people[name]:,}", _share(people[name], people["labelled"]))
    table.add_row("found, but not labelled", f"{people['extra']:,}", "")
    most = max(1, *people["oks_histogram"])
    bars = "".join(" ▁▂▃▄▅▆▇█"[-(-8 * n // most)] for n in people["oks_histogram"])
    table.add_row("OKS of detected, 0 to 1", bars, "")
    return table


def _costs(figures: dict[str, Any]) -> Table:
    table = _table("keypoint AP without", "joints", "share", "AP", "gain")
    corrected, joints = figures["ap_if_corrected"], figures["joint_errors"]
    now, total = corrected["nothing"], sum(joints.values())
    for name, text in _CORRECTIONS.items():
        value = corrected[name]
        number = (f"{joints[name]:,}", _share(joints[name], total)) if name in joints else ("", "")
        gain = "-" if value is None or now is None else f"{value - now:+.4f}"
        table.add_row(text, *number, _figure(value, 4), gain)
    return table


def _joints(joints: dict[str, dict[str, Any]]) -> Table:
    table = _table("joint", "judged", "px off", "PCK@.1", "PCK@.2", *_ERRORS[:2], "invert", "swap")
    for name, row in joints.items():
        table.add_row(
            name.replace("_", " "),
            f"{row['judged']:,}",
            _figure(row["mean_error_px"], 1),
            _figure(row["pck_0.1"], 3),
            _figure(row["pck_0.2"], 3),
            *(_percent(row[kind]) for kind in _ERRORS),
        )
    return table


def _subsets(figures: dict[str, Any]) -> Table:
    table = _table("keypoints of", "AP", "AR", "")
    for row in figures["sizes"]:
        size = f"{row['from']}-{row['to']} px" if row["to"] < 10_000 else f"over {row['from']} px"
        if row["AP"] is not None:
            table.add_row(f"people of {size}", _figure(row["AP"], 3), _figure(row["AR"], 3), "")
    for name, row in figures["crowding"].items():
        if row["AP"] is not None:
            images = f"{row['images']:,} images"
            table.add_row(f"{name} crowding", _figure(row["AP"], 3), _figure(row["AR"], 3), images)
    return table


def _remarks(figures: dict[str, Any]) -> list[str]:
    lines, nms, matching = [], figures["nms"], figures["matching"]
    if nms["left_out"]:
        lines.append(f"{nms['left_out']:,} near-duplicate people left out (OKS over {nms['threshold']})")
    lines.append(f"images matched by {matching['by'].replace('_', ' ')}: {matching['matched']:,}")
    if matching["unmatched"]:
        examples = ", ".join(matching["unmatched_examples"])
        lines.append(f"{matching['unmatched']:,} images of the run are not in the truth: {examples} ...")
    if matching["gt_images_not_in_run"]:
        lines.append(f"{matching['gt_images_not_in_run']:,} images of the truth are not in the run")
    if matching["other_names"]:
        examples = ", ".join(matching["other_names_examples"])
        lines.append(f"{matching['other_names']:,} images have the same id but another name: {examples} ...")
    if matching["joint_names_differ"]:
        examples = ", ".join(matching["joint_names_differ"][:3])
        lines.append(f"joints are called otherwise in the truth: {examples}; are they in the same order?")
    return lines


def _figure(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"
