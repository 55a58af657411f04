"""The inline executor: all shards in this process, one after the other. For tests and debugging."""

from __future__ import annotations

from collections.abc import Sequence

from annotator.runtime.job import Job, Report


def run_inline(job: Job, shards: Sequence[int], report: Report) -> None:
    """Carry out `shards` here; see `runtime.job.Executor`."""
    from annotator.runtime.worker import ShardWorker

    worker = ShardWorker(job)
    for shard in shards:
        worker.run(shard, report)
