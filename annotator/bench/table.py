"""Results of benchmarks for people: on the terminal, and as a table for the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = (
    "| model | ours | people/s: theirs | ours | times | rounds | efficiency | p99 shift |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
)


def describe(result: Mapping[str, Any]) -> str:
    """One result (`Result.to_dict`) in lines of at most 110 characters."""
    theirs, ours, chosen = result["theirs"], result["ours"], result["settings"]
    ratios = result["speedup_by_round"]
    lines = [
        f"{result['model']}, {'flip, ' if chosen['flip'] else ''}{chosen['weights']} weights, "
        f"{ours['photos']} photos, {ours['people']} people, {result['machine']['threads']} threads",
        f"  {theirs['name']:<16} {theirs['people_per_second']:9.2f} people/s   spread {theirs['spread']:.0%}",
        f"  {ours['name']:<16} {ours['people_per_second']:9.2f} people/s   spread {ours['spread']:.0%}   "
        f"({chosen['engine']} {chosen['precision']})",
        f"  {result['speedup']:.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})",
    ]
    if result["efficiency"] is not None:
        lines.append(
            f"  {result['efficiency']:.3f} of the networks alone, "
            f"{result['limit_people_per_second']:.2f} people/s"
        )
    stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in result["stages"].items())
    apart = result["agreement"]
    lines += [
        f"  seconds of a round: {stages}",
        f"  keypoints of {apart['people']} people: median {apart['median']:.2g} px apart, "
        f"99% within {apart['p99']:.2g} px"
        + (f"; {apart['alone']} people on one side only" if apart["alone"] else "")
        + (f"; {apart['on_threshold']} on the threshold" if apart["on_threshold"] else ""),
    ]
    return "\n".join(lines)


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """A table of results."""
    rows = []
    for result in results:
        chosen, ratios = result["settings"], result["speedup_by_round"]
        efficiency = "-" if result["efficiency"] is None else f"{result['efficiency']:.3f}"
        shift = f"{result['agreement']['p99']:.2g} px" if chosen["weights"] == "trained" else "(random)"
        rows.append(
            f"| {result['model']}{', flip' if chosen['flip'] else ''} "
            f"| {chosen['engine']} {chosen['precision']} "
            f"| {result['theirs']['name']} {result['theirs']['people_per_second']:.2f} "
            f"| {result['ours']['people_per_second']:.2f} | **{result['speedup']:.2f}** "
            f"| {min(ratios):.2f} to {max(ratios):.2f} | {efficiency} | {shift} |"
        )
    return "\n".join([*_HEAD, *rows])
