"""Which models to take for a goal: the survey's choice, checked against the catalogue's own figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annotator.errors import UserError
from annotator.models.zoo.cards import Card, card
from annotator.models.zoo.catalogue import Entry, find, pose_models
from annotator.models.zoo.goals import GOALS, SURVEY, Goal
from annotator.models.zoo.sizing import (
    BATCH_IMAGES,
    BATCH_PEOPLE,
    CPU_MS,
    GIB,
    OVERHEAD,
    Choice,
    is_whole_image,
    sized,
)

# Smaller differences are another way of counting, of multiply-accumulates and of parameters.
_AGREES = 0.05
_PARAMS_AGREE = 0.005
# The survey rounds to a decimal.
_ROUNDING = 0.051


@dataclass(frozen=True)
class Advice:
    """An answer.

    Attributes:
        goal: what was asked.
        chosen: the pose model to take.
        others: the other candidates.
        detector: to go with it; None for whole-image models.
        flip: whether to use the flip test.
        reasons: for the choice.
        corrections: where measurement disagrees with the survey.
        not_measured: what these figures do not say.
        command: to run it.
    """

    goal: Goal
    chosen: Choice
    others: tuple[Choice, ...]
    detector: Card | None
    flip: bool
    reasons: tuple[str, ...]
    corrections: tuple[str, ...]
    not_measured: tuple[str, ...]
    command: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return {
            "goal": self.goal,
            "pose": self.chosen.to_dict(),
            "detector": self.detector.to_dict() if self.detector else None,
            "flip": self.flip,
            "alternatives": [choice.to_dict() for choice in self.others],
            "reasons": list(self.reasons),
            "changes_to_the_survey": list(self.corrections),
            "not_measured": list(self.not_measured),
            "command": self.command,
        }

    def text(self) -> str:
        """For people, lines of at most 110 characters."""
        detector = f" with {self.detector.shortest_name}" if self.detector else ", no detector"
        flip = ", flip test" if self.flip else ", no flip test"
        lines = [f"{self.goal}: {self.chosen.card.shortest_name}{detector}{flip}", ""]
        lines.append(f"  {'':<16}{'AP':>6}{'params':>9}{'GMACs':>9}{'as run':>9}{'memory':>10}  weights")
        for choice in (self.chosen, *self.others):
            lines.append(_row(choice, choice is self.chosen))
        lines.append(
            "  (params: millions; GMACs: a crop or image; as run: with flip and attention; memory: estimate "
            "for such passes)"
        )
        for title, points in (
            ("Why", self.reasons),
            ("What measurement changes about the survey", self.corrections),
            ("Not measured", self.not_measured),
        ):
            lines += ["", title, *(line for point in points for line in _wrapped(point))]
        return "\n".join([*lines, "", "Run", f"  {self.command}"])


def advise(goal: Goal, gpu_gb: float | None = None, weights_dir: str | None = None) -> Advice:
    """Advice for a goal.

    Args:
        gpu_gb: memory of the GPU in GB; None: no limit, or no GPU.
        weights_dir: where weights are kept.

    Raises:
        UserError: no model for the goal fits the memory, or that is no number above 0.
    """
    if gpu_gb is not None and not (math.isfinite(gpu_gb) and gpu_gb > 0):
        raise UserError(f"--gpu {gpu_gb:g}: give the memory of the GPU in GB, such as --gpu 24")
    plan = GOALS[goal]
    detector = card(find(plan.detector), weights_dir)
    limit = None if gpu_gb is None else gpu_gb * 1e9
    choices = [sized(card(find(name), weights_dir), plan, detector, limit) for name in plan.candidates]
    fitting = [choice for choice in choices if choice.fits]
    if not fitting:
        smallest = min(choice.memory or 0 for choice in choices)
        raise UserError(
            f"no model for {goal} fits {gpu_gb:g} GB: the smallest needs about {smallest / 1e9:.1f} GB; "
            "run on the CPU with --device cpu"
        )
    chosen = fitting[0]
    whole_image = is_whole_image(chosen.card)
    reasons = list(plan.reasons)
    if chosen is not choices[0]:
        first = choices[0]
        reasons.insert(
            0,
            f"{first.card.shortest_name} is the choice without a limit; it needs about "
            f"{(first.memory or 0) / 1e9:.1f} GB even one crop at a time, which is more than {gpu_gb:g} GB.",
        )
    if goal == "crowd":
        reasons.append(_crowd_pose())
    if goal in ("realtime", "crowd"):
        reasons.append(_break_even(card(find("rtmpose-m")), card(find("rtmo-l"))))
    command = f"annotator run IMAGES --out RUN --pose {chosen.card.shortest_name}"
    if not whole_image:
        command += f" --detector {detector.shortest_name}" + ("" if plan.flip else " --no-flip")
        if chosen.batch_people != BATCH_PEOPLE[0]:
            command += f" --set batch_people={chosen.batch_people}"
    if chosen.batch_images != BATCH_IMAGES[0]:
        command += f" --set batch_images={chosen.batch_images}"
    return Advice(
        goal=goal,
        chosen=chosen,
        others=tuple(choice for choice in choices if choice is not chosen),
        detector=None if whole_image else detector,
        flip=plan.flip and not whole_image,
        reasons=tuple(reasons),
        corrections=tuple(corrections(plan.candidates)),
        not_measured=_not_measured(chosen),
        command=command,
    )


def corrections(names: Sequence[str]) -> list[str]:
    """What the measured figures say against the survey's, those of `names` and the grave ones."""
    points = [
        "Its GFLOPs are multiply-accumulates: a floating-point count is twice that, and the flip test "
        "doubles it again. " + _flops_of("vitpose-h")
    ]
    for name, (said_params, said) in SURVEY.items():
        found = card(find(name)).cost
        if found is None:
            continue
        params = found.params / 1e6
        if said_params is not None and abs(params - said_params) > max(
            _PARAMS_AGREE * said_params, _ROUNDING
        ):
            points.append(
                f"{name} has {params:.1f} million parameters, where the survey says {said_params:g}."
            )
        if found.macs is None:
            continue
        with_attention = (found.macs + (found.attention_macs or 0)) / 1e9
        # Some counters see fused attention, others do not.
        off = min(abs(counted / said - 1) for counted in (found.macs / 1e9, with_attention))
        if off > max(_AGREES, _ROUNDING / said):
            points.append(f"{name} costs {with_attention:.1f} GMACs a crop, where the survey says {said:g}.")
    edge = [name for name in names if name in ("rtmpose-t", "litehrnet-30", "mobilenetv2")]
    points += _dominated(edge)
    return points


def _dominated(names: Sequence[str]) -> list[str]:
    """Models that another of them beats in AP at no more multiply-accumulates."""
    cards = [card(find(name)) for name in names]
    points = []
    for weak in cards:
        for strong in cards:
            if strong is weak or weak.cost is None or strong.cost is None:
                continue
            cheaper = (strong.cost.macs or 0) <= (weak.cost.macs or 0)
            if cheaper and (strong.entry.ap or 0) > (weak.entry.ap or 0):
                points.append(
                    f"{_figures(weak)} is no choice beside {_figures(strong)}, which was trained on "
                    f"{' and '.join(strong.entry.training_data)}."
                )
                break
    return points


def _figures(model: Card) -> str:
    gmacs = model.cost.gmacs if model.cost else None
    return f"{model.shortest_name} ({model.entry.ap:.3f} AP, {gmacs or 0:.2f} GMACs)"


def _crowd_pose() -> str:
    """Best published CrowdPose AP: of each paradigm, trained on that data set alone, and of all."""
    tested = [entry for entry in pose_models().values() if "AP" in entry.results.get("CrowdPose", {})]
    tested.sort(key=_crowd_ap, reverse=True)
    best: dict[str, Entry] = {}
    for entry in tested:
        if entry.training_data == ("CrowdPose",):
            best.setdefault(entry.paradigm, entry)
    figures = ", ".join(f"{_crowd_ap(entry):.3f} {entry.paradigm} ({entry.name})" for entry in best.values())
    text = f"Best published AP on CrowdPose of models trained on it alone: {figures}. "
    leader = tested[0]
    if leader.training_data != ("CrowdPose",):
        text += (
            f"Trained on {len(leader.training_data)} data sets, {leader.name} has {_crowd_ap(leader):.3f}. "
        )
    return (
        f"{text}Weights trained for it know its 14 joints rather than COCO's 17; where that is enough, take "
        f"--pose {leader.name}."
    )


def _crowd_ap(entry: Entry) -> float:
    return entry.results["CrowdPose"]["AP"]


def _break_even(top_down: Card, one_stage: Card) -> str:
    a, b = top_down.cost, one_stage.cost
    if a is None or b is None or a.macs is None or b.macs is None:
        return ""
    crop = (a.macs + (a.attention_macs or 0)) / 1e9
    people = (b.gmacs or 0) / crop
    return (
        f"Break-even: an image through {one_stage.shortest_name} costs {b.gmacs:.0f} GMACs, as much as "
        f"{people:.1f} people through {top_down.shortest_name} without flip test, its detector not counted."
    )


def _flops_of(name: str) -> str:
    found = card(find(name)).cost
    if found is None or found.macs is None:
        return ""
    flops = 2 * (found.macs + (found.attention_macs or 0)) / 1e9
    return f"{name}: {flops:.0f} GFLOP a crop, {2 * flops:.0f} with flip test."


def _not_measured(chosen: Choice) -> tuple[str, ...]:
    points = [
        "Speed and memory on a GPU: memory is estimated (parameters and live activations in fp32, plus "
        f"{OVERHEAD / GIB:g} GiB for CUDA); bf16 needs about half. `annotator bench` measures yours.",
        "AP is what MMPose published for its own protocol (COCO val2017; top-down with boxes of 56 AP). "
        "On other pictures it can be half: on paintings (Human-Art) ViTPose-H falls to 0.377. "
        "`annotator eval` measures yours.",
    ]
    milliseconds = CPU_MS.get(chosen.card.shortest_name)
    if milliseconds:
        points.insert(
            1,
            f"Measured on a CPU: {milliseconds:g} ms a crop without flip test, fp32, on two cores (AVX-512).",
        )
    return tuple(points)


def _row(choice: Choice, chosen: bool) -> str:
    entry, found = choice.card.entry, choice.card.cost
    ap = "-" if entry.ap is None else f"{entry.ap:.3f}"
    params = "-" if found is None else f"{found.params / 1e6:.1f}"
    gmacs = "-" if found is None or found.gmacs is None else f"{found.gmacs:.2f}"
    run = "-" if choice.gmacs is None else f"{choice.gmacs:.2f}"
    memory = "-" if choice.memory is None else f"{choice.memory / GIB:.1f} GiB"
    weights = "here" if choice.card.weights else "to fetch" if entry.url else "none"
    note = "" if choice.fits else ", does not fit"
    batch = f"images: {choice.batch_images}"
    if choice.batch_people is not None:
        batch = f"crops: {choice.batch_people}, {batch}"
    mark = ">" if chosen else " "
    return (
        f"{mark} {choice.card.shortest_name:<16}{ap:>6}{params:>9}{gmacs:>9}{run:>9}{memory:>10}  {weights}"
        f" ({batch}{note})"
    )


def _wrapped(point: str) -> list[str]:
    import textwrap

    # Names are for copying: no break at their hyphens.
    return textwrap.wrap(point, 108, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
