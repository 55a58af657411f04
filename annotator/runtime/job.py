"""What an executor is given and what it reports back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from annotator.config import RunConfig
from annotator.store.schema import Provenance

if TYPE_CHECKING:
    from annotator.models.sources import ModelSource
    from annotator.quality.calibration import Calibration


@dataclass(frozen=True, slots=True)
class Base:
    """The run that a job starts from instead of from nothing.

    Attributes:
        run_dir: its folder, reachable under this path from every worker.
        keypoints: they are taken over too; otherwise a pose model looks at its boxes, which are in the plan.
        given_boxes: its boxes came with the inputs, from no detector.
        whole_image: its pose model found the people by itself.
    """

    run_dir: str
    keypoints: bool
    given_boxes: bool
    whole_image: bool


@dataclass(frozen=True, slots=True)
class Job:
    """All a worker needs to know; small enough to send to every node.

    Attributes:
        config: the settings of this start, placement included.
        run_dir: the run folder, reachable under this path from every worker.
        pose: the pose model, resolved to files.
        detector: the detector, resolved to files, or None when every item brings its boxes.
        provenance: models and hashes, written into every Parquet file.
        models: "module:function" that makes a worker's detector (or None) and pose estimator, given a job and
            CPUs to use. The tests of faults name cheap ones here that break on demand.
        second: the second pose model on the same boxes, resolved to files, or None.
        base: the run that this one starts from, or None.
        calibration: as it was when the start read it, or None.
    """

    config: RunConfig
    run_dir: str
    pose: ModelSource
    detector: ModelSource | None
    provenance: Provenance
    models: str = "annotator.runtime.job_models:build_models"
    second: ModelSource | None = None
    base: Base | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class ShardTask:
    """A shard that is to be committed.

    Attributes:
        shard: number of the shard.
        generation: of the commit: 0 for the first, one more for each retry, the same for rows that were lost.
        only: indices of the items to run, the others keep the rows of the generation before; None: all.
    """

    shard: int
    generation: int = 0
    only: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one shard has come on one worker.

    Attributes:
        shard: number of the shard.
        images: items finished so far, error rows included.
        people: people found so far.
        errors: error rows so far.
        committed: the shard's rows are on disk for good.
        worker: who works on it.
        stats: figures of the work, as in the commit record; only with `committed`.
    """

    shard: int
    images: int = 0
    people: int = 0
    errors: int = 0
    committed: bool = False
    worker: str = ""
    stats: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerNews:
    """Something happened to a worker.

    Attributes:
        worker: its name, unique in the run.
        event: "started", "ready", "beat", "died" or "ended".
        node: where it runs, once known.
        detail: for a person, such as the reason of a death.
        shards: what it holds, the one under way first.
    """

    worker: str
    event: str
    node: str = ""
    detail: str = ""
    shards: tuple[int, ...] = ()


News = Progress | WorkerNews
Report = Callable[[News], None]


class Executor(Protocol):
    """Carries out the tasks of a job, in any order, and reports from one thread.

    Raises:
        RunFailed: when tasks are left that nothing can carry out. What was committed stays.
    """

    def __call__(self, job: Job, tasks: Sequence[ShardTask], report: Report) -> None: ...
