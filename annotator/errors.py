"""The one family of errors: every message says what went wrong, where, and what to do about it."""

from __future__ import annotations


class AnnotatorError(Exception):
    """Anything this project raises on purpose."""

    exit_code = 1


class UserError(AnnotatorError):
    """The request cannot be carried out as it stands: a wrong path, name, option or file."""

    exit_code = 2


class RunFailed(AnnotatorError):
    """The run as a whole cannot go on; what was committed before stays valid."""

    exit_code = 1


# Where an input can fail; "worker": the process died of it.
STAGES = ("read", "decode", "detect", "pose", "worker")


class ItemError(AnnotatorError):
    """One input failed. It becomes an error row and costs no other input its result.

    Attributes:
        stage: where it failed, one of `STAGES`.
        kind: a short stable name to count by, such as "truncated" or "too_large".
        message: one sentence for a person.
    """

    def __init__(self, stage: str, kind: str, message: str) -> None:
        super().__init__(f"{stage}: {kind}: {message}")
        self.stage = stage
        self.kind = kind
        self.message = message

    def __reduce__(self):
        # The default would call ItemError(str) when it crosses a process boundary.
        return (type(self), (self.stage, self.kind, self.message))
