"""Why a worker is gone, from what Ray says about it."""

from __future__ import annotations

import pytest
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import ActorDiedError, OutOfMemoryError

from annotator.config import RunConfig
from annotator.models.sources import ModelSource
from annotator.runtime.job import Job
from annotator.runtime.ray.actors import Crew
from annotator.runtime.scheduling.blame import Cause
from annotator.store.schema import ModelRecord, Provenance


@pytest.fixture
def crew(tmp_path) -> Crew:
    """Of a worker 0 that never became ready, so that nobody knows where it ran."""
    config = RunConfig(inputs=("/data",), out=str(tmp_path))
    provenance = Provenance(ModelRecord("fake"), None, None, "01" * 32, "23" * 32)
    return Crew(
        Job(config, str(tmp_path), ModelSource("fake", "pose", "", None, "random"), None, provenance), "d", 2
    )


def died(message: str) -> ActorDiedError:
    return ActorDiedError(
        ActorDiedErrorContext(error_message=message, actor_id=b"a" * 16, class_name="ShardActor")
    )


def test_a_node_that_goes_while_a_worker_starts_is_not_the_workers_fault(crew):
    """Otherwise three nodes in a row that are taken away would be taken for a worker that cannot start."""
    death = crew.death(0, died("The actor died because its node has died. Node Id: e6a02c9f"))
    assert (death.cause, death.detail) == (Cause.NODE, "its node is gone")


def test_a_worker_that_ends_without_a_word_was_killed(crew):
    death = crew.death(
        0, died("The actor is dead because its worker process has died. Worker exit detail: SIGKILL")
    )
    assert (death.cause, death.detail) == (Cause.KILLED, "SIGKILL")


def test_memory_is_told_from_the_rest(crew):
    assert (
        crew.death(0, OutOfMemoryError("Task was killed due to the node running low on memory")).cause
        is Cause.MEMORY
    )
