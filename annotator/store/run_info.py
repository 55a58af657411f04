"""`run.json`: what a run was asked to do, with which models, by which code, and how far it says it is."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from annotator import __version__
from annotator.config import PLACEMENT_FIELDS, RunConfig, load_config, settings_sha256
from annotator.errors import RunFailed, UserError
from annotator.store.durable import write_failure
from annotator.store.schema import SCHEMA_VERSION, FileRecord, ModelRecord, Provenance, RunRecord
from annotator.store.storage import storage_at

if TYPE_CHECKING:
    import numpy as np

State = Literal["running", "finished", "failed"]
FILE_NAME = "run.json"
_MEND = (
    "put a copy of it in its place, or annotate into another folder; the rows beside it are not affected, "
    "and any Parquet reader reads them"
)
# Stands in the run folder while something is being forgotten.
FORGETTING = "forgetting.json"


def now() -> str:
    """This moment, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Items that were taken out of a run; their numbers alone remain.

    Attributes:
        ranges: of indices in the plan, [first, last], ascending.
        plan_sha256: of the plan without them.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    plan_sha256: str = ""

    @classmethod
    def of(cls, indices: np.ndarray) -> Forgotten:
        """From (N,) int64 indices, ascending, each once."""
        import numpy as np

        if not len(indices):
            return cls()
        cuts = np.flatnonzero(np.diff(indices) > 1)
        firsts, lasts = indices[np.append(0, cuts + 1)], indices[np.append(cuts, len(indices) - 1)]
        return cls(tuple(zip(firsts.tolist(), lasts.tolist(), strict=True)))

    def indices(self) -> np.ndarray:
        """(N,) int64, ascending."""
        import numpy as np

        parts = [np.arange(first, last + 1) for first, last in self.ranges]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What stands in run.json.

    Attributes:
        config: `RunConfig.model_dump(mode="json")`.
        provenance: models and hashes, as in the metadata of the rows.
        items, shards: size of the plan.
        state: what the driver said last; a driver that was killed leaves "running" behind.
        started_at, resumed_at, finished_at: of the first start, later ones, the last end; ISO 8601, UTC.
        failure: why, when the state is "failed".
        schema_version: of the rows.
        forgotten: what was taken out of the run, if anything; None else.
        attempt: id of the start that created the file: tells whose it is when the reply to a write was lost.
    """

    config: dict[str, Any]
    provenance: Provenance
    items: int
    shards: int
    state: State = "running"
    started_at: str = field(default_factory=now)
    resumed_at: tuple[str, ...] = ()
    finished_at: str | None = None
    failure: str | None = None
    schema_version: str = SCHEMA_VERSION
    attempt: str = ""
    forgotten: Forgotten | None = None

    def to_json(self) -> bytes:
        """The file's bytes."""
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> RunInfo:
        """The inverse of `to_json`.

        Raises:
            ValueError, KeyError, TypeError: not what `to_json` writes.
        """
        body = json.loads(data)
        for name, kind in (("items", int), ("shards", int), ("config", dict), ("started_at", str)):
            if not isinstance(body[name], kind):
                raise TypeError(f"{name} is {body[name]!r}")
        if not isinstance(inputs := body["config"].get("inputs"), list):
            raise TypeError(f"inputs is {inputs!r}")
        provenance = body["provenance"]
        body["provenance"] = Provenance(
            pose_model=_model(provenance["pose_model"]),
            detector=_optional_model(provenance["detector"]),
            boxes=_file(provenance["boxes"]),
            config_sha256=provenance["config_sha256"],
            plan_sha256=provenance["plan_sha256"],
            code_version=provenance["code_version"],
            calibration=_file(provenance.get("calibration")),
            second_pose_model=_optional_model(provenance.get("second_pose_model")),
            derived_from=_run(provenance.get("derived_from")),
        )
        body["resumed_at"] = tuple(body["resumed_at"])
        if body.get("forgotten"):
            ranges = tuple((first, last) for first, last in body["forgotten"]["ranges"])
            body["forgotten"] = Forgotten(ranges, body["forgotten"]["plan_sha256"])
        return cls(**body)

    @property
    def run_config(self) -> RunConfig:
        """The settings of the first start.

        Raises:
            RunFailed: they are not what was written.
        """
        try:
            # With what was forgotten, inputs went out of them.
            if not self.forgotten and settings_sha256(self.config) != self.provenance.config_sha256:
                raise UserError("not those of its config_sha256")
            return load_config(None, {}, [], self.config)
        except UserError as error:
            raise RunFailed(f"the settings in {FILE_NAME} are damaged ({error}); {_MEND}") from None

    @property
    def pose_models(self) -> tuple[ModelRecord, ...]:
        """The models that placed the joints: the pose model, and in a cascade the second one."""
        first, second = self.provenance.pose_model, self.provenance.second_pose_model
        return (first, second) if second and self.run_config.cascade else (first,)

    @property
    def plan_sha256(self) -> str:
        """Of the plan as it stands: the provenance names the one before anything was forgotten."""
        return self.forgotten.plan_sha256 if self.forgotten else self.provenance.plan_sha256


def _model(body: dict[str, Any]) -> ModelRecord:
    size = body["input_size"]
    return ModelRecord(**{**body, "input_size": tuple(size) if size else None})


def _optional_model(body: dict[str, Any] | None) -> ModelRecord | None:
    return _model(body) if body else None


def _run(body: dict[str, Any] | None) -> RunRecord | None:
    return RunRecord(**{**body, "reused": tuple(body["reused"])}) if body else None


def _file(body: dict[str, Any] | None) -> FileRecord | None:
    return FileRecord(**body) if body else None


def create(run_dir: str | Path, info: RunInfo) -> bool:
    """Write run.json unless there is one; returns whether this call did. Of two starts at once, one does.

    Raises:
        UserError: the folder cannot be written to.
        RunFailed: the disk is full.
    """
    try:
        return storage_at(run_dir).create(FILE_NAME, replace(info, attempt=uuid.uuid4().hex[:16]).to_json())
    except PermissionError as error:
        raise UserError(f"cannot write the run folder {run_dir}: {error.strerror}") from None
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{run_dir} is a file; --out needs a folder") from None
    except IsADirectoryError:
        raise UserError(f"{run_dir}/{FILE_NAME} is a folder; {_MEND}") from None
    except OSError as error:
        raise write_failure(error, run_dir) from error


def read(run_dir: str | Path) -> RunInfo:
    """Read run.json.

    Raises:
        UserError: this is not a run folder, or of another version of the rows.
        RunFailed: run.json is damaged.
    """
    path = f"{run_dir}/{FILE_NAME}"
    try:
        data = storage_at(run_dir).read(FILE_NAME)
    except (FileNotFoundError, NotADirectoryError):
        lost = f"; if it was lost, {_MEND}" if storage_at(run_dir).names("commits") else ""
        raise UserError(f"{run_dir} is not a run folder: it has no {FILE_NAME}{lost}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {_MEND}") from None
    try:
        version = str(json.loads(data)["schema_version"])
        if version.split(".")[0] == SCHEMA_VERSION.split(".")[0]:
            return RunInfo.from_json(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFailed(f"{path} is damaged ({type(error).__name__}: {error}); {_MEND}") from None
    raise UserError(
        f"{run_dir} has rows of schema version {version}; this program ({__version__}) reads {SCHEMA_VERSION}"
    )


def update(run_dir: str | Path, **changes: Any) -> RunInfo:
    """Rewrite run.json with some fields changed, in one step; returns what stands there now.

    Raises:
        UserError, RunFailed: as `read`; RunFailed also when it cannot be written.
    """
    info = replace(read(run_dir), **changes)
    try:
        storage_at(run_dir).replace(FILE_NAME, info.to_json())
    except OSError as error:
        raise write_failure(error, f"{run_dir}/{FILE_NAME}") from error
    return info


def is_forgetting(run_dir: str | Path) -> bool:
    """Whether something is being forgotten, or was begun to be."""
    try:
        storage_at(run_dir).size(FORGETTING)
    except FileNotFoundError:
        return False
    return True


def differences(old: RunInfo, new: RunInfo) -> list[str]:
    """What keeps `new` from going on with the run of `old`: one line a difference, empty when it may.

    Placement settings (workers, devices, batch sizes ...) may differ; inputs, weights and the rest may not.
    """
    earlier, later = _settings(old), _settings(new)
    # Of files that are compared by their content it is all one where they lie.
    passed_over = PLACEMENT_FIELDS | {"boxes", "calibration"}
    if old.forgotten:
        # Names are missing there; the hash of the plan is of all.
        passed_over |= {"inputs"}
    lines = [
        f"{name}: {earlier.get(name)!r} before, {later.get(name)!r} now"
        for name in sorted(earlier.keys() | later.keys())
        if name not in passed_over and earlier.get(name) != later.get(name)
    ]
    before, after = old.provenance, new.provenance
    for role in ("pose_model", "detector", "second_pose_model"):
        first, second = getattr(before, role), getattr(after, role)
        if first and second and first.sha256 != second.sha256:
            lines.append(f"{role} weights: sha256 {_short(first.sha256)} before, {_short(second.sha256)} now")
        elif first and second and first.config_sha256 != second.config_sha256:
            lines.append(f"{role} config: the file says something else than before")
        elif (first is None) != (second is None):
            lines.append(
                f"{role}: {first.name if first else 'none'} before, {second.name if second else 'none'} now"
            )
    if (before.boxes and before.boxes.sha256) != (after.boxes and after.boxes.sha256):
        lines.append("boxes: the file of person boxes has other content")
    if (before.calibration and before.calibration.sha256) != (after.calibration and after.calibration.sha256):
        lines.append("calibration: the file of probabilities has other content")
    if (before.derived_from and before.derived_from.rows_sha256) != (
        after.derived_from and after.derived_from.rows_sha256
    ):
        lines.append("from: the run that the rows were made from is another one, or has other rows")
    if before.plan_sha256 != after.plan_sha256:
        lines.append(f"inputs: {old.items} planned before, {new.items} now, or other ones")
    return lines


def _settings(info: RunInfo) -> dict[str, Any]:
    """The settings of a run; those that did not exist when it was started, at their defaults."""
    return RunConfig.model_construct().model_dump(mode="json") | info.config


def _short(sha256: str | None) -> str:
    return sha256[:12] if sha256 else "none"
