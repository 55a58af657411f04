"""How long `annotator review load` takes, and its memory: the figures of docs/review.md.

    python jobs/benchmark_review.py [--images 100000] [--shard-size 1000]

The run is made without models: two people in every picture, poses drawn at random, no files behind the names.
Each load is a command of its own, database included: the first, a second one without news, and a third
after all shards were annotated anew.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from annotator.config import RunConfig
from annotator.items import Item
from annotator.people import Poses
from annotator.skeletons import COCO_17
from annotator.store import run_info
from annotator.store.commit import ShardWriter
from annotator.store.plan_file import save_plan
from annotator.store.rows import RowBuilder
from annotator.store.schema import PLAN, ModelRecord, Provenance
from annotator.store.visibility import ScoreThresholds

SIZE = (640, 480)
_MODEL = ModelRecord("nobody", "ab" * 32, "nobody.pth", (192, 256))
PROVENANCE = Provenance(_MODEL, None, None, config_sha256="01" * 32, plan_sha256="23" * 32)


def make_run(path: Path, images: int, shard_size: int) -> list[Item]:
    """A finished run of `images` pictures with two people each."""
    items = [Item(n, n + 1, f"/data/{n}.jpg", f"{n}.jpg", n // shard_size) for n in range(images)]
    columns = {name: [getattr(item, name, None) for item in items] for name in PLAN.names}
    plan = pa.table([pa.array(columns[field.name], field.type) for field in PLAN], schema=PLAN)
    about = {"shard_size": shard_size, "sha256": PROVENANCE.plan_sha256, "duplicates": 0, "notes": []}
    save_plan(path, about, [plan])
    config = RunConfig(inputs=("/data",), out=str(path), shard_size=shard_size).model_dump(mode="json")
    shards = 1 + (images - 1) // shard_size
    run_info.create(path, run_info.RunInfo(config, PROVENANCE, images, shards))
    commit(path, items, shard_size, seed=0)
    return items


def commit(path: Path, items: list[Item], shard_size: int, seed: int) -> None:
    """Rows of all shards, drawn at random, in place of those that are there."""
    for folder in ("commits", "instances", "images"):
        shutil.rmtree(path / folder, ignore_errors=True)
    for begin in range(0, len(items), shard_size):
        rng = np.random.default_rng([begin, seed])
        rows = RowBuilder(COCO_17, ScoreThresholds(), PROVENANCE)
        for item in items[begin : begin + shard_size]:
            rows.add(item, SIZE, two_people(rng))
        assert ShardWriter(path, items[begin].shard).commit(*rows.tables(), {"seconds": 1.0}).won


def two_people(rng: np.random.Generator) -> Poses:
    """Two people side by side, joints anywhere in their boxes."""
    boxes = np.array([[20, 30, 250, 400], [340, 30, 250, 400]]) + rng.uniform(0, 20, (2, 4))
    scores = rng.uniform(0.3, 1, 2).astype(np.float32)
    joints = boxes[:, None, :2] + rng.uniform(0, 1, (2, 17, 2)) * boxes[:, None, 2:]
    joint_scores = rng.uniform(0.1, 1, (2, 17)).astype(np.float32)
    return Poses(boxes, scores, joints.astype(np.float32), joint_scores, joint_scores.mean(1))


def measure(run: Path) -> dict[str, object]:
    """One load as a command: what it says, seconds of the whole command, MiB of it and of mongod.

    `cpu_s` are of command and mongod together: the figure to compare when others use the cores too.
    """
    began, cpu = time.perf_counter(), cpu_seconds()
    command = [sys.executable, "-m", "annotator.cli", "review", "load", str(run), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    most: dict[str, float] = {}
    halfway: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.25):
            for name, mib in memory(process.pid).items():
                most[name] = max(most.get(name, 0), mib)
            halfway.append(most.get("load", 0))

    watcher = threading.Thread(target=watch)
    watcher.start()
    out = process.communicate()[0]
    ended.set()
    watcher.join()
    assert process.returncode == 0, process.returncode
    loaded = json.loads(out)
    return {
        "new": loaded["new"], "renewed": loaded["renewed"],
        "load_s": round(loaded["seconds"], 1), "command_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(cpu_seconds() - cpu, 1),
        "memory_mib": round(most["load"]), "memory_halfway_mib": round(halfway[len(halfway) // 2]),
        "mongod_mib": round(most.get("mongod", 0)),
    }  # fmt: skip


def cpu_seconds() -> float:
    """Of all commands that have ended, and of what they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory(pid: int) -> dict[str, float]:
    """MiB that a process and its mongod hold."""
    found = {"load": resident(pid)}
    for other in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            name, parent = Path(f"/proc/{other}/comm").read_text().strip(), parent_of(other)
        except OSError:
            continue
        if name == "mongod" and parent in (pid, 1):
            found["mongod"] = max(found.get("mongod", 0), resident(other))
    return found


def resident(pid: int) -> float:
    """MiB of memory that a process holds; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def parent_of(pid: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def main() -> None:
    """Print one line of JSON a load."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--shard-size", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="review-") as folder:
        run = Path(folder) / "run"
        items = make_run(run, given.images, given.shard_size)
        print("first  ", json.dumps(measure(run)), flush=True)
        print("no news", json.dumps(measure(run)), flush=True)
        commit(run, items, given.shard_size, seed=1)
        print("renewed", json.dumps(measure(run)), flush=True)


if __name__ == "__main__":
    main()
