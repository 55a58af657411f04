"""The long campaign: thousands of pictures, hundreds of faults at random, and three numbers that must be 0.

    python tests/faults/campaign.py --faults 200 --seed 7

Bad pictures that crash or hang whoever looks at them lie among good ones, and meanwhile workers and drivers
are killed or stopped, nodes leave and join, a second driver works on the same folder and commit records are
damaged. Then every row is counted. The time is compared with a run that nobody disturbs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

from fake_models import DEADLY, Fate, write_picture  # noqa: E402
from program import ClusterProcess, Program, commits, make_environment, rows, start_cluster, workers  # noqa: E402

from annotator.runtime.journal import read_log  # noqa: E402
from annotator.store.verify import verify  # noqa: E402

BAD = [
    Fate.ABORT, Fate.SEGFAULT, Fate.ABORT_IN_DECODER, Fate.RAISE, Fate.NO_MEMORY, Fate.ABORT, Fate.HANG,
    Fate.EXIT,
]  # fmt: skip
# Weights of the faults from outside.
OUTSIDE = {
    "worker killed": 60,
    "driver killed": 12,
    "node replaced": 6,
    "record damaged": 5,
    "two drivers": 4,
    "worker stopped": 3,
}


@dataclass
class Score:
    """What a campaign came to; the first four must be 0."""

    lost: int = 0
    doubled: int = 0
    innocent: int = 0
    unproved: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    deaths: int = 0
    images: int = 0
    seconds: float = 0.0
    undisturbed: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.innocent or self.unproved)


class Campaign:
    """Rounds of disturbed runs on one cluster until enough faults have been seen."""

    def __init__(self, seed: int, items: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.items, self.folder = items, folder
        environment = make_environment(folder / "env")
        self.cluster: ClusterProcess = start_cluster(environment)
        self.program = Program(environment, self.cluster.address)
        self.nodes = [0, 1]
        self.next_node = 2
        self.score = Score()

    def round(self, number: int, faults: int) -> None:
        """One run to its end, with at most `faults` more faults."""
        pictures, run = self.folder / f"pictures{number}", self.folder / f"run{number}"
        pictures.mkdir()
        places = self.random.sample(range(self.items), min(faults, self.items // 160))
        fates = {place: BAD[turn % len(BAD)] for turn, place in enumerate(places)}
        for place in range(self.items):
            write_picture(pictures / f"{place:05d}.png", fates.get(place, Fate.GOOD), place)
        began = time.monotonic()
        drivers = [self.start(pictures, run)]
        left = faults - len(fates)
        while drivers:
            time.sleep(self.random.uniform(0.5, 3))
            drivers = [driver for driver in drivers if not self.ended(driver)]
            done = commits(run) >= -(-self.items // 24)
            if not drivers and not done:
                drivers.append(self.start(pictures, run))
            if drivers and left > 0 and not done and commits(run):
                kind = self.random.choices(list(OUTSIDE), list(OUTSIDE.values()))[0]
                if self.inflict(kind, pictures, run, drivers):
                    self.score.faults[kind] += 1
                    left -= 1
        # Whatever the last driver said: the next one finds what is missing or damaged, if anything.
        self.ended(self.start(pictures, run), wait=True)
        self.score.seconds += time.monotonic() - began
        for fate in fates.values():
            self.score.faults[f"picture: {fate.name.lower().replace('_', ' ')}"] += 1
        self.count(run, fates)
        shutil.rmtree(pictures)

    def start(self, pictures: Path, run: Path) -> subprocess.Popen[str]:
        return self.program.start(pictures, run, "--weights-dir", 0.004, log=self.folder / "drivers.log")

    def ended(self, driver: subprocess.Popen[str], wait: bool = False) -> bool:
        if wait:
            driver.wait()
        code = driver.poll()
        if code not in (None, 0, 3, -signal.SIGKILL):
            said = (self.folder / "drivers.log").read_text().strip().splitlines()
            lines = [
                line for line in said[-60:] if line.startswith("annotator:") and " is gone (" not in line
            ]
            print(f"a driver ended with {code}: {lines[-1] if lines else said[-1]}", flush=True)
        return code is not None

    def inflict(self, kind: str, pictures: Path, run: Path, drivers: list[subprocess.Popen[str]]) -> bool:
        """One fault from outside; False if there was nothing to do it to."""
        if kind in ("worker killed", "worker stopped"):
            pids = sorted(set(workers(run).values()))
            if not pids:
                return False
            with contextlib.suppress(ProcessLookupError):
                os.kill(
                    self.random.choice(pids), signal.SIGKILL if kind == "worker killed" else signal.SIGSTOP
                )
        elif kind == "driver killed":
            driver = self.random.choice(drivers)
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
        elif kind == "node replaced":
            node = self.nodes.pop(self.random.randrange(len(self.nodes)))
            self.cluster.order(f"remove {node}")
            self.cluster.order("add")
            self.nodes.append(self.next_node)
            self.next_node += 1
        elif kind == "two drivers":
            if len(drivers) > 1:
                return False
            drivers.append(self.start(pictures, run))
        else:
            records = sorted((run / "commits").glob("s*.json"))
            record = self.random.choice(records)
            record.write_bytes(record.read_bytes()[: self.random.randrange(200)])
        return True

    def count(self, run: Path, fates: dict[int, Fate]) -> None:
        """Hold a finished run to its promises."""
        score, images, people = self.score, rows(run), rows(run, "instances")
        names = Counter(row["file_name"] for row in images)
        expected = {f"{place:05d}.png" for place in range(self.items)}
        score.images += self.items
        score.lost += len(expected - set(names))
        score.doubled += (
            sum(count - 1 for count in names.values()) + len(people) - len({row["id"] for row in people})
        )
        failed = {int(row["file_name"][:5]): row for row in images if row["status"] == "error"}
        score.innocent += len(failed.keys() - fates.keys())
        for place in failed.keys() - fates.keys():
            print(f"innocent: {failed[place]}", flush=True)
        owners = Counter(row["image_id"] for row in people)
        for row in images:
            place = int(row["file_name"][:5])
            if place not in failed:
                score.lost += owners[row["image_id"]] != place % 4
        missed = [place for place, fate in fates.items() if fate in DEADLY and place not in failed]
        report = verify(run)
        score.unproved += (not report.ok) + len(missed)
        if not report.ok:
            print(report, flush=True)
        score.deaths += sum(line["event"] == "died" for line in read_log(run))

    def undisturbed(self) -> float:
        """Seconds that good pictures take when nobody disturbs."""
        pictures, run = self.folder / "good", self.folder / "undisturbed"
        pictures.mkdir()
        for place in range(self.items):
            write_picture(pictures / f"{place:05d}.png", Fate.GOOD, place)
        began = time.monotonic()
        self.ended(self.start(pictures, run), wait=True)
        seconds = time.monotonic() - began
        if not verify(run).ok:
            raise RuntimeError("not even the undisturbed run is as it should be")
        shutil.rmtree(pictures)
        return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--items", type=int, default=2400, help="pictures a round")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="keep the run folders")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(10**6)
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    print(f"seed {seed}, in {folder}", flush=True)
    campaign = Campaign(seed, arguments.items, folder)
    score = campaign.score
    try:
        alone = campaign.undisturbed()
        print(f"undisturbed: {arguments.items:,} pictures in {alone:.0f} s", flush=True)
        rounds = 0
        while score.faults.total() < arguments.faults:
            campaign.round(rounds, arguments.faults - score.faults.total())
            rounds += 1
            score.undisturbed += alone
            print(
                f"round {rounds}: {score.faults.total()} faults, {score.deaths} workers died, "
                f"lost {score.lost}, doubled {score.doubled}, innocents condemned {score.innocent}, "
                f"not proved {score.unproved}",
                flush=True,
            )
    finally:
        campaign.cluster.order("quit")
    for kind, number in score.faults.most_common():
        print(f"  {number:>5}  {kind}")
    print(f"{score.faults.total()} faults, {score.deaths} worker deaths, {score.images:,} pictures")
    print(f"lost {score.lost}\ndoubled {score.doubled}\ninnocents condemned {score.innocent}")
    print(f"not proved by verify {score.unproved}")
    ratio = score.seconds / score.undisturbed
    each = (score.seconds - score.undisturbed) / max(1, score.faults.total())
    print(
        f"time {score.seconds:.0f} s against {score.undisturbed:.0f} s undisturbed: {ratio:.2f} times, "
        f"{each:.1f} s a fault"
    )
    if not arguments.keep and score.clean:
        shutil.rmtree(folder)
    sys.exit(0 if score.clean else 1)


if __name__ == "__main__":
    main()
