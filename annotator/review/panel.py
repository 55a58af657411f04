"""The reviewer's panel in the App: progress, who decided what, and the work that is left."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from annotator.durations import duration
from annotator.review.decisions import REASONS, reviewer
from annotator.review.progress import Progress, progress

_KEYS = """
| key | does |
| --- | --- |
| Alt+A | accept |
| Alt+1 ... Alt+{reasons} | reject: {names} |
| Alt+S | send back |
| Alt+C | clear the decision |
| Alt+N | next undecided |
| Alt+E | correct joints |
| Alt+P | add a person |
"""


_BUTTONS = (
    ("accept", "Accept"),
    ("send_back", "Send back"),
    ("add_person", "Add a person"),
    ("next_person", "Next"),
)


class ReviewPanel(foo.Panel):
    """Progress of the review of this dataset."""

    @property
    def config(self) -> Any:
        return foo.PanelConfig(
            name="review_panel",
            label="Review",
            icon="fact_check",
            surfaces="grid modal",
            allow_multiple=False,
        )

    def on_load(self, ctx: Any) -> None:
        """Count when the panel opens."""
        self.refresh(ctx)

    def on_change_current_sample(self, ctx: Any) -> None:
        """Count again when a decision opened the next image."""
        self.refresh(ctx)

    def on_change_view(self, ctx: Any) -> None:
        """Count again in another view."""
        self.refresh(ctx)

    def refresh(self, ctx: Any) -> None:
        """Count again."""
        ctx.panel.set_state("text", describe(progress(ctx.dataset)))

    def render(self, ctx: Any) -> Any:
        """Text, buttons and the keys."""
        panel = types.Object()
        panel.md(ctx.panel.get_state("text") or "", name="text")
        buttons = panel.h_stack("buttons", gap=2)
        for name, label in _BUTTONS:
            buttons.btn(name, label=label, on_click=f"@pose-annotator/review/{name}")
        for name, label in (("reject", "Reject"), ("set_visibility", "Set visibility")):
            buttons.btn(name, label=label, on_click=f"@pose-annotator/review/{name}", prompt=True)
        buttons.btn("refresh", label="Refresh", on_click=self.refresh)
        names = ", ".join(f"{n} {reason}" for n, reason in enumerate(REASONS, 1))
        panel.md(_KEYS.format(reasons=len(REASONS), names=names), name="keys")
        return types.Property(panel, view=types.GridView(orientation="vertical"))


def describe(found: Progress) -> str:
    """A review's progress in Markdown."""
    share = found.decided / found.people if found.people else 0.0
    lines = [
        f"**{found.decided:,} of {found.people:,} people decided ({share:.0%}).** "
        f"You decide as **{reviewer()}**.",
        "",
        f"**{found.to_review:,}** undecided people need review{_left(found)}",
    ]
    for title, counts in (
        ("decision", found.decisions),
        ("decided by", found.reviewers),
        ("rejected for", found.reasons),
    ):
        if counts:
            lines += ["", f"| {title} | people |", "| --- | ---: |"]
            lines += [f"| {name} | {count:,} |" for name, count in sorted(counts.items())]
    return "\n".join(lines)


def _left(found: Progress) -> str:
    if found.seconds is None or found.seconds_left is None:
        return "; the time left is estimated after the first decisions"
    return f": about **{duration(found.seconds_left)}** at {found.seconds:.1f} s a person"
