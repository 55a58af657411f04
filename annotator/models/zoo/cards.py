"""What is known about a model, on one card: the catalogue's entry, its cost, and its weights, if at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annotator.errors import UserError
from annotator.models.weights import fetch
from annotator.models.zoo import catalogue, cost
from annotator.models.zoo.catalogue import Entry
from annotator.models.zoo.cost import Cost


@dataclass(frozen=True, slots=True)
class Card:
    """One model.

    Attributes:
        entry: of the catalogue.
        cost: None where it was not measured.
        weights: file of the official weights on this machine, or None.
    """

    entry: Entry
    cost: Cost | None
    weights: str | None

    @property
    def shortest_name(self) -> str:
        """What one types."""
        return min(self.entry.short_names, key=len, default=self.entry.name)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form: parameters in 10^6, multiply-accumulates in 10^9, activations in MiB (float32)."""
        entry, found = self.entry, self.cost
        size = entry.input_size or (found.input_size if found else None)
        activations = found.activations if found else None
        attention = found.attention_macs if found else None
        return {
            "name": entry.name,
            "short_names": list(entry.short_names),
            "kind": entry.kind,
            "task": entry.task,
            "paradigm": entry.paradigm,
            "backbone": entry.backbone,
            "input_size": list(size) if size else None,
            "ap": entry.ap,
            "params_m": round(found.params / 1e6, 3) if found else None,
            "gmacs": round(found.gmacs, 3) if found and found.gmacs is not None else None,
            "attention_gmacs": None if attention is None else round(attention / 1e9, 3),
            "activations_mib": None if activations is None else round(activations / 2**20, 1),
            "training_data": list(entry.training_data),
            "license": entry.license,
            "unsupported": entry.unsupported,
            "config": str(entry.config),
            "url": entry.url,
            "weights_at_hand": self.weights,
            "results": {data_set: dict(values) for data_set, values in entry.results.items()},
        }


@dataclass(frozen=True, slots=True)
class Filter:
    """Which models to list; None and False let all through.

    Attributes:
        text: part of a name, short name or backbone.
        task: "body", "wholebody", "hand", "detection", "pose" or "detector".
        paradigm: part of one, such as "top-down" or "bottom-up".
        data: part of the name of a data set trained on.
        short: only models with a short name.
        with_weights: only models whose weights are at hand.
        max_gmacs, max_params: in 10^9 and 10^6; models of unknown cost do not pass.
        min_ap: in [0, 1]; models without published AP do not pass.

    Raises:
        UserError: no model is of that paradigm, or `min_ap` is out of range.
    """

    text: str = ""
    task: str | None = None
    paradigm: str | None = None
    data: str | None = None
    short: bool = False
    with_weights: bool = False
    max_gmacs: float | None = None
    max_params: float | None = None
    min_ap: float | None = None

    def __post_init__(self) -> None:
        if self.paradigm is not None:
            paradigms = sorted({entry.paradigm for entry in catalogue.pose_models().values()})
            if not any(self.paradigm.lower() in paradigm for paradigm in paradigms):
                raise UserError(f"--paradigm {self.paradigm}: give one of {', '.join(paradigms)}, or a part")
        if self.min_ap is not None and not 0 <= self.min_ap <= 1:
            raise UserError(f"--min-ap {self.min_ap:g}: AP is between 0 and 1, as in --min-ap 0.75")

    def __call__(self, card: Card) -> bool:
        """Whether the model passes."""
        entry, found = card.entry, card.cost
        text = " ".join((entry.name, *entry.short_names, entry.backbone)).lower()
        gmacs = found.gmacs if found else None
        return (
            self.text.lower() in text
            and (self.task is None or self.task in (entry.task, entry.kind))
            and (self.paradigm is None or self.paradigm.lower() in entry.paradigm.lower())
            and (self.data is None or self.data.lower() in " ".join(entry.training_data).lower())
            and (bool(entry.short_names) or not self.short)
            and (card.weights is not None or not self.with_weights)
            and (self.max_gmacs is None or (gmacs is not None and gmacs <= self.max_gmacs))
            and (self.max_params is None or (found is not None and found.params <= self.max_params * 1e6))
            and (self.min_ap is None or (entry.ap or 0) >= self.min_ap)
        )


def cards(weights_dir: str | None = None) -> Iterator[Card]:
    """All models of the catalogue, pose models first."""
    for entry in (*catalogue.pose_models().values(), *catalogue.detectors().values()):
        yield card(entry, weights_dir)


def card(entry: Entry, weights_dir: str | None = None, measure: bool = False) -> Card:
    """The card of one model.

    Args:
        weights_dir: where weights are kept.
        measure: compute the cost now where no figures are shipped; takes seconds.
    """
    found = cost.known(entry)
    if found is None and measure and entry.unsupported is None:
        try:
            found = cost.measure(entry.config, "pose" if entry.kind == "pose" else "detector")
        except UserError:
            found = None
    path = entry.weights or (fetch.find(entry.url, weights_dir) if entry.url else None)
    return Card(entry, found, str(path) if path else None)
