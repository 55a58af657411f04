"""What an executor is given and what it reports back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from annotator.config import RunConfig
from annotator.store.schema import Provenance

if TYPE_CHECKING:
    from annotator.models.sources import ModelSource


@dataclass(frozen=True, slots=True)
class Job:
    """All a worker needs to know; small enough to send to every node.

    Attributes:
        config: the settings of this start, placement included.
        run_dir: the run folder, reachable under this path from every worker.
        pose: the pose model, resolved to files.
        detector: the detector, resolved to files, or None when every item brings its boxes.
        provenance: models and hashes, written into every Parquet file.
    """

    config: RunConfig
    run_dir: str
    pose: ModelSource
    detector: ModelSource | None
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one shard has come on one worker.

    Attributes:
        shard: number of the shard.
        images: items finished so far, error rows included.
        people: people found so far.
        errors: error rows so far.
        committed: the shard's rows are on disk for good.
    """

    shard: int
    images: int = 0
    people: int = 0
    errors: int = 0
    committed: bool = False


Report = Callable[[Progress], None]


class Executor(Protocol):
    """Carries out the shards of a job, in any order, and reports from one thread.

    Raises:
        RunFailed: when shards are left that nothing can carry out. What was committed stays.
    """

    def __call__(self, job: Job, shards: Sequence[int], report: Report) -> None: ...
