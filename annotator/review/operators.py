"""The reviewer's operators in the App: accept, reject, send back, and on to the next."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from bson import ObjectId
from fiftyone.core.json import stringify
from fiftyone.operators import types

from annotator.errors import UserError
from annotator.review import added, decisions, lines
from annotator.review.redraw import redraw
from annotator.store.reviews import ACCEPTED, REJECTED, SENT_BACK

SCOPES = {
    "selected": "Selected people, else the open image, else the selected images",
    "image": "Everyone in the open or the selected images",
    "view": "Everyone in the view as it is filtered now",
}


class _Operator(foo.Operator):
    """Common to all: a name, a button in the grid and in the open sample."""

    name_ = label_ = icon_ = ""
    prompt = False

    @property
    def config(self) -> Any:
        return foo.OperatorConfig(
            name=self.name_, label=self.label_, icon=self.icon_, dynamic=True, view_target=False
        )

    def resolve_placement(self, ctx: Any) -> Any:
        button = types.Button(label=self.label_, icon=self.icon_, prompt=self.prompt)
        return types.Placement(types.Places.SAMPLES_GRID_SECONDARY_ACTIONS, button)


class _Decide(_Operator):
    decision: str | None = None

    def resolve_input(self, ctx: Any) -> Any:
        inputs = types.Object()
        inputs.enum("scope", list(SCOPES), default="selected", label="Who", view=_choices(SCOPES))
        self._more(inputs)
        return types.Property(inputs, view=types.View(label=self.label_))

    def _more(self, inputs: Any) -> None:
        """Further questions."""

    def execute(self, ctx: Any) -> dict[str, Any]:
        scope = ctx.params.get("scope") or "selected"
        people, one_by_one = _people(ctx, scope)
        if not people:
            ctx.ops.notify("Nobody is selected: click people, open an image, or choose the view", "warning")
            return {"people": 0}
        reason = ctx.params.get("reason") or None
        count = decisions.decide(ctx.dataset, people, self.decision, reason)
        if self.decision == ACCEPTED:
            lines.draw(ctx.dataset, people)
        ctx.ops.notify(f"{self.label_}: {count} {'person' if count == 1 else 'people'}", "success")
        _go_on(ctx, skip=False, one_by_one=one_by_one)
        return {"people": count}

    def resolve_output(self, ctx: Any) -> Any:
        outputs = types.Object()
        outputs.int("people", label="People")
        return types.Property(outputs)


class Accept(_Decide):
    """These people are right as they are."""

    name_, label_, icon_, decision = "accept", "Accept", "check_circle", ACCEPTED


class Reject(_Decide):
    """These people are no labels; asks why."""

    name_, label_, icon_, decision = "reject", "Reject", "cancel", REJECTED
    prompt = True

    def _more(self, inputs: Any) -> None:
        reasons = {reason: reason for reason in decisions.REASONS}
        inputs.enum(
            "reason", list(reasons), default=decisions.REASONS[0], label="Why", view=_choices(reasons)
        )


class SendBack(_Decide):
    """These people are to be annotated again; `annotator review pull` lists their images."""

    name_, label_, icon_, decision = "send_back", "Send back", "reply", SENT_BACK


class ClearDecision(_Decide):
    """Withdraw the decision about these people."""

    name_, label_, icon_, decision = "clear_decision", "Clear decision", "undo", None


class SetVisibility(_Operator):
    """Say of joints whether they are visible, hidden, or not to be labelled."""

    name_, label_, icon_, prompt = "set_visibility", "Set visibility", "visibility", True

    def resolve_input(self, ctx: Any) -> Any:
        inputs = types.Object()
        skeleton = ctx.dataset.default_skeleton
        inputs.list(
            "joints", types.Enum(list(skeleton.labels)), label="Joints", required=True,
            view=types.DropdownView(multiple=True, choices=_choices({n: n for n in skeleton.labels}).choices),
        )  # fmt: skip
        values = {"2": "visible", "1": "hidden", "0": "not labelled"}
        inputs.enum("visibility", list(values), default="1", label="are", view=_choices(values))
        return types.Property(inputs, view=types.View(label=self.label_))

    def execute(self, ctx: Any) -> dict[str, Any]:
        people, _ = _people(ctx, "selected")
        names = list(ctx.dataset.default_skeleton.labels)
        joints = [names.index(name) for name in ctx.params["joints"]]
        count = decisions.set_visibility(ctx.dataset, people, joints, int(ctx.params["visibility"]))
        redraw(ctx.dataset, people)
        ctx.ops.notify(f"{self.label_}: {count} {'person' if count == 1 else 'people'}", "success")
        ctx.ops.reload_samples()
        return {"people": count}


class AddPerson(_Operator):
    """Add somebody whom the run did not find to the open image, and show her line to be dragged."""

    name_, label_, icon_ = "add_person", "Add a person", "person_add"

    def execute(self, ctx: Any) -> dict[str, Any]:
        if not ctx.current_sample:
            ctx.ops.notify("Open the image first: a person is added to the open one", "warning")
            return {"people": 0}
        sample = ctx.current_sample
        if getattr(ctx.view, "_is_patches", False):
            (sample,) = ctx.view.select(sample).values("sample_id")
        try:
            people = added.add_people(ctx.dataset, sample)
        except UserError as error:
            ctx.ops.notify(str(error), "warning")
            return {"people": 0}
        ctx.ops.notify("Drag the joints to their places: only those that were placed count", "success")
        ctx.ops.reload_samples()
        document = ctx.dataset._sample_collection.find_one({"_id": ObjectId(sample)})
        ctx.trigger("@pose-annotator/review/correct_joints", {"sample": stringify(document)})
        return {"people": len(people)}


class NextPerson(_Operator):
    """Open the next image with somebody undecided."""

    name_, label_, icon_ = "next_person", "Next undecided", "skip_next"

    def execute(self, ctx: Any) -> None:
        _go_on(ctx, skip=True, one_by_one=bool(ctx.selected_labels))


OPERATORS = (Accept, Reject, SendBack, ClearDecision, SetVisibility, AddPerson, NextPerson)


def _people(ctx: Any, scope: str) -> tuple[list[int], bool]:
    """The people that an operator is about, and whether they were selected one by one."""
    if scope == "view":
        return decisions.people_in(ctx.view), False
    if scope == "selected" and (chosen := decisions.people_of_labels(ctx.selected_labels or ())):
        return chosen, True
    samples = [ctx.current_sample] if ctx.current_sample else list(ctx.selected or ())
    return (decisions.people_in(ctx.view.select(samples)) if samples else []), False


def _go_on(ctx: Any, skip: bool, one_by_one: bool) -> None:
    """Show what was decided; with a sample open, go to the next one of the queue."""
    ctx.ops.reload_samples()
    if not ctx.current_sample:
        ctx.ops.clear_selected_labels()
        ctx.ops.clear_selected_samples()
        return
    place, labels = decisions.next_in(ctx.view, ctx.current_sample, skip)
    if place is None:
        ctx.ops.clear_selected_labels()
        ctx.ops.close_sample()
        ctx.ops.notify("Nobody in this view is undecided any more", "success")
        return
    if place != ctx.current_sample:
        ctx.ops.open_sample(id=place)
    ctx.ops.set_selected_labels(labels[:1] if one_by_one else [])


def _choices(options: dict[str, str]) -> Any:
    view = types.RadioView() if len(options) < 4 else types.Dropdown()
    for value, label in options.items():
        view.add_choice(value, label=label)
    return view
