"""The inline executor: all shards in this process, one after the other. For tests and debugging.

It isolates nothing: an exception becomes an error row here as everywhere, but a native crash ends the run.
"""

from __future__ import annotations

from collections.abc import Sequence

from annotator.runtime.job import Job, Report, ShardTask


def run_inline(job: Job, tasks: Sequence[ShardTask], report: Report) -> None:
    """Carry out `tasks` here; see `runtime.job.Executor`."""
    from annotator.runtime.worker import ShardWorker

    worker = ShardWorker(job)
    for task in tasks:
        worker.run(task, report)
