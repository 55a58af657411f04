"""What planning and scheduling cost, in CPU seconds and memory; the figures of docs/scaling.md.

python jobs/scale_bench.py plan --items 10000000          a list of so many names
python jobs/scale_bench.py plan --items 1000000 --files   a folder of so many empty files
python jobs/scale_bench.py scheduler --workers 2000       the real scheduler in simulated time
python jobs/scale_bench.py records --shards 40000         commit records: bytes, seconds to read all
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import resource
import shutil
import tempfile
import time
from pathlib import Path

NAME = "camera-{:02d}/2026-01-{:02d}/frame-{:09d}.jpg"


def measure_plan(items: int, files: bool, shard_size: int) -> dict[str, float]:
    """Plan and write `items` inputs: CPU seconds, seconds by the clock, MiB of memory and of plan file."""
    from annotator.sources.plan import build_plan
    from annotator.store.plan import read_plan, write_plan

    folder = Path(tempfile.mkdtemp(prefix="scale-", dir="."))
    try:
        names = (NAME.format(n % 40, n % 28 + 1, n) for n in range(items))
        if files:
            source = _write_files(folder / "pictures", names)
        else:
            source = folder / "list.txt"
            with source.open("w") as out:
                out.writelines(f"/data/pictures/{name}\n" for name in names)
        before = _memory()
        cpu, clock = time.process_time(), time.perf_counter()
        plan = build_plan([str(source)], shard_size=shard_size)
        planned = time.process_time() - cpu
        write_plan(plan, folder / "run")
        written = time.process_time() - cpu
        seconds = time.perf_counter() - clock
        cpu = time.process_time()
        assert len(read_plan(folder / "run").items(len(plan.shards) // 2)) == min(shard_size, items)
        return {
            "items": len(plan),
            "cpu_plan": round(planned, 1),
            "cpu_write": round(written - planned, 1),
            "cpu_read_a_shard": round(time.process_time() - cpu, 3),
            "seconds": round(seconds, 1),
            "memory_mib": _memory(),
            "memory_before_mib": before,
            "plan_mib": round((folder / "run/plan/items.parquet").stat().st_size / 2**20),
        }
    finally:
        shutil.rmtree(folder)


def _write_files(folder: Path, names) -> Path:
    made = set()
    for name in names:
        path = folder / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.touch()
    return folder


def measure_scheduler(workers: int, shards: int, shard_seconds: float, deaths: int) -> dict[str, float]:
    """A whole run in simulated time with the real scheduler; what its calls cost in CPU seconds.

    Each worker carries out one shard after the other and decodes a second one ahead; lengths of shards vary,
    `deaths` workers vanish. The scheduler is asked after every event, as by the Ray executor.
    """
    from annotator.runtime.ray.executor import BEATS_A_SECOND
    from annotator.runtime.scheduling.blame import Cause, Death
    from annotator.runtime.scheduling.leases import Scheduler
    from annotator.runtime.scheduling.policy import Lease, Start

    dice, spent = random.Random(1), 0.0
    scheduler = Scheduler(range(shards))
    scheduler.set_capacity(workers)
    queue: list[tuple[float, int, str, int, int]] = []  # (time, serial, event, worker, lease)
    serial = events = done = lost = 0
    held: dict[int, list[int]] = {}
    mortal = {dice.randrange(shards) for _ in range(deaths)}

    def push(moment: float, event: str, worker: int, lease: int = -1) -> None:
        nonlocal serial
        serial += 1
        heapq.heappush(queue, (moment, serial, event, worker, lease))

    def begin(worker: int, now: float) -> None:
        push(now + shard_seconds * dice.lognormvariate(0, 0.3), "done", worker, held[worker][0])

    push(0.0, "look", -1)
    push(1.0, "beat", -1)
    now = 0.0
    while not scheduler.finished:
        now, _, event, worker, lease = heapq.heappop(queue)
        if event == "done" and lease not in held.get(worker, ()):
            continue
        dies = event == "done" and lease in mortal
        start = time.process_time()
        if event == "ready":
            scheduler.ready(worker, now)
        elif dies:
            scheduler.died(worker, Death(Cause.NODE, "its node is gone"), {}, now)
        elif event == "done":
            scheduler.done(worker, lease, now)
        elif event == "beat":
            for number in range(BEATS_A_SECOND):
                scheduler.progressed((int(now) * BEATS_A_SECOND + number) % workers, now, now)
        commands = scheduler.decide(now)
        spent += time.process_time() - start
        events += 1
        if event == "beat":
            push(now + 1.0, "beat", -1)
        elif dies:
            held.pop(worker)
            lost += 1
        elif event == "done":
            done += 1
            held[worker].remove(lease)
            if held[worker]:
                begin(worker, now)
        for command in commands:
            if isinstance(command, Start):
                push(now + 30.0, "ready", command.worker)
            elif isinstance(command, Lease):
                held.setdefault(command.worker, []).append(command.lease)
                if len(held[command.worker]) == 1:
                    begin(command.worker, now)
    return {
        "workers": workers,
        "shards": shards,
        "simulated_hours": round(now / 3600, 2),
        "events": events,
        "deaths": lost,
        "cpu_seconds": round(spent, 2),
        "cpu_microseconds_an_event": round(1e6 * spent / events, 1),
        "share_of_one_core_percent": round(100 * spent / now, 3),
        "share_of_a_workers_time_percent": round(100 * (spent / done) / shard_seconds, 4),
        "memory_mib": _memory(),
    }


def measure_records(shards: int) -> dict[str, float]:
    """Commit records of finished shards: bytes of one, and what reading all of them costs."""
    from annotator.store.records import CommitRecord, FileEntry, record_name
    from annotator.store.status import iter_records

    folder = Path(tempfile.mkdtemp(prefix="scale-", dir="."))
    try:
        (folder / "commits").mkdir()
        stats: dict[str, object] = dict.fromkeys(
            ("wait", "detect", "pose", "started", "ahead", "seconds", "images", "people"), 1.25
        )
        for shard in range(shards):
            entry = FileEntry(f"images/s{shard:06d}-0123456789abcdef.parquet", 256, 20_000, "0" * 64)
            files = {"images": entry, "instances": entry}
            counts = {"ok": 250, "empty": 5, "error": 1}
            errors = {"decode/corrupt": 1}
            record = CommitRecord(
                shard,
                0,
                "0123456789abcdef",
                files,
                counts,
                600,
                errors,
                stats,
                "2026-01-01T00:00:00.000+00:00",
            )
            (folder / record_name(shard)).write_bytes(record.to_json())
        cpu, clock, before = time.process_time(), time.perf_counter(), _memory()
        images = sum(record.images for _, record in iter_records(folder) if isinstance(record, CommitRecord))
        return {
            "shards": shards,
            "images": images,
            "bytes_a_record": len(record.to_json()),
            "cpu_seconds": round(time.process_time() - cpu, 2),
            "seconds": round(time.perf_counter() - clock, 2),
            "memory_growth_mib": _memory() - before,
        }
    finally:
        shutil.rmtree(folder)


def _memory() -> int:
    """Most memory that this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    plan = verbs.add_parser("plan")
    plan.add_argument("--items", type=int, default=10_000_000)
    plan.add_argument("--files", action="store_true")
    plan.add_argument("--shard-size", type=int, default=256)
    scheduler = verbs.add_parser("scheduler")
    scheduler.add_argument("--workers", type=int, default=2_000)
    scheduler.add_argument("--shards", type=int, default=40_000)
    scheduler.add_argument("--shard-seconds", type=float, default=60.0)
    scheduler.add_argument("--deaths", type=int, default=500)
    records = verbs.add_parser("records")
    records.add_argument("--shards", type=int, default=40_000)
    given = parser.parse_args()
    if given.verb == "plan":
        figures = measure_plan(given.items, given.files, given.shard_size)
    elif given.verb == "scheduler":
        figures = measure_scheduler(given.workers, given.shards, given.shard_seconds, given.deaths)
    else:
        figures = measure_records(given.shards)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
