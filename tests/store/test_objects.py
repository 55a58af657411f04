"""Runs in an object store, against a real S3 server: commits, and all that can go wrong between the two."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from annotator.errors import RunFailed
from annotator.export import FORMATS
from annotator.store import object_storage, objects
from annotator.store.commit import ShardWriter
from annotator.store.leftovers import sweep
from annotator.store.parquet import native
from annotator.store.reader import Run
from annotator.store.recovery import repair
from annotator.store.status import summarise
from annotator.store.storage import storage_at
from annotator.store.verify import verify
from tests.conftest import poses_of
from tests.store.fault_proxy import CONFLICT, DELAY, FAIL, FAIL_AFTER, LOSE_REPLY, PASS, FaultProxy

FAULTS = (LOSE_REPLY, FAIL_AFTER, FAIL, CONFLICT)


@pytest.fixture
def run(make_run, picture, people):
    return make_run([picture(f"{i}.jpg", people([[i, i, 20, 40]] * (i + 1))) for i in range(4)])


@pytest.fixture
def remote(bucket: str, run):
    """A run of two shards in the bucket, nothing committed: (URL, the local run that it is made of)."""
    url = f"{bucket}/deep/run"
    storage = storage_at(url)
    for name in ("run.json", "plan/items.parquet"):
        storage.replace(name, (run.path / name).read_bytes())
    return url, run


@pytest.fixture
def proxy(bucket: str, object_store: str, monkeypatch) -> Iterator[FaultProxy]:
    """All requests go through it; nobody is patient."""
    with FaultProxy(object_store) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.endpoint)
        monkeypatch.setattr(objects, "RETRIES", 0)
        monkeypatch.setattr(object_storage, "PAUSES", (0.01, 0.01, 0.01, 0.01))
        objects.client.cache_clear()
        yield made


def commit(url: str, run, shard: int):
    return ShardWriter(url, shard).commit(*run.tables(shard), {})


def people(url: str) -> int:
    return sum(batch.num_rows for batch in Run(url).instances(["id"]))


def test_a_run_in_a_bucket_is_read_and_verified_like_any_other(remote):
    url, run = remote
    for shard in (0, 1):
        assert commit(url, run, shard).won
    report = verify(url)
    assert report.ok, report.problems
    assert summarise(url).complete
    run.commit()
    here, there = (list(Run(place).instances()) for place in (run.path, url))
    assert here == there and people(url) > 0
    assert len(Run(url).plan) == report.planned


def test_the_store_says_when_a_file_was_written(remote):
    url, _ = remote
    assert abs(storage_at(url).modified("run.json") - time.time()) < 60
    with pytest.raises(FileNotFoundError):
        storage_at(url).modified("commits/s000000.json")


def test_of_many_who_commit_a_shard_one_wins(remote):
    url, run = remote
    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(lambda _: commit(url, run, 0), range(12)))
    assert sum(outcome.won for outcome in outcomes) == 1
    assert len({outcome.record.attempt for outcome in outcomes}) == 1
    assert len(storage_at(url).names("images")) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_becomes_of_the_reply_the_shard_is_committed_once(remote, proxy, fault):
    url, run = remote
    pending = ["commit"]

    def judge(method: str, path: str) -> str:
        return fault if method == "PUT" and "/commits/" in path and pending and pending.pop() else PASS

    proxy.judge = judge
    outcome = commit(url, run, 0)
    assert outcome.won and not pending
    assert (fault in (FAIL, CONFLICT)) == (
        len([1 for method, path, _ in proxy.seen if method == "PUT" and "/commits/" in path]) > 1
    )
    commit(url, run, 1)
    assert verify(url).ok


def test_a_lost_reply_to_a_losing_commit_is_no_victory(remote, proxy):
    url, run = remote
    rival: list = []

    def judge(method: str, path: str) -> str:
        if method == "PUT" and "/commits/" in path and not rival:
            rival.append(None)
            rival.append(commit(url, run, 0))
            return LOSE_REPLY
        return PASS

    proxy.judge = judge
    outcome = commit(url, run, 0)
    assert rival[1].won and not outcome.won and outcome.record == rival[1].record
    assert len(storage_at(url).names("images")) == 1


def test_a_write_that_nobody_can_settle_keeps_its_files(remote, proxy):
    """The store does not answer any more: the record may appear yet, so its files must stay."""
    url, run = remote
    dead = []

    def judge(method: str, path: str) -> str:
        if method == "PUT" and "/commits/" in path:
            dead.append(path)
            return LOSE_REPLY
        return FAIL if dead else PASS

    proxy.judge = judge
    with pytest.raises(RunFailed, match="run again"):
        commit(url, run, 0)
    proxy.judge = lambda method, path: PASS
    assert people(url) > 0
    assert not commit(url, run, 0).won
    commit(url, run, 1)
    assert verify(url).ok


def test_a_seeded_storm_loses_and_doubles_nothing(make_run, picture, bucket, proxy):
    """Every fourth request is broken in some way; commits are tried again as workers do, two at a time."""
    run = make_run([picture(f"{i}.jpg") for i in range(8)], shard_size=1)
    url, dice = f"{bucket}/run", random.Random(7)
    for name in ("run.json", "plan/items.parquet"):
        storage_at(url).replace(name, (run.path / name).read_bytes())
    proxy.delay = 0.02
    proxy.judge = lambda method, path: dice.choice((*FAULTS, DELAY)) if dice.random() < 0.25 else PASS

    def worker(shard: int) -> bool:
        while True:
            try:
                return commit(url, run, shard).won
            except RunFailed:
                continue

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(worker, [shard for shard in range(8) for _ in range(2)]))
    assert sum(verdict != PASS for _, _, verdict in proxy.seen) > 20
    proxy.judge = lambda method, path: PASS
    sweep(url)
    report = verify(url)
    assert (report.missing, report.doubled, report.leftovers) == (0, 0, 0) and report.ok, report.problems
    # An attempt may be raised about and win all the same, but never do two win.
    assert all(won[2 * shard : 2 * shard + 2] != [True, True] for shard in range(8))


def test_a_damaged_record_or_file_is_made_anew(remote):
    url, run = remote
    storage = storage_at(url)
    for shard in (0, 1):
        commit(url, run, shard)
    storage.replace("commits/s000000.json", b"{")
    assert list(repair(url)) == [0]
    assert not verify(url).ok
    assert commit(url, run, 0).won
    sweep(url)
    assert verify(url).ok


def test_repair_asks_for_no_size_of_sound_files(remote, proxy):
    url, run = remote
    for shard in (0, 1):
        commit(url, run, shard)
    proxy.seen.clear()
    assert repair(url) == {}
    assert proxy.seen and not [path for method, path, _ in proxy.seen if method == "HEAD"]


def test_large_objects_are_read_from_one_copy_by_arrow_itself(remote, monkeypatch):
    """A Python file in the hands of Arrow's threads may bring a process down that is about to end."""
    url, run = remote
    commit(url, run, 0)
    fetched, pieces = [], objects.pieces
    monkeypatch.setattr(objects, "WHOLE_BYTES", 0)
    monkeypatch.setattr(objects, "pieces", lambda place: fetched.append(place.url) or pieces(place))
    name = "plan/items.parquet"
    for _ in range(2):
        with storage_at(url).open(name) as file, native(file) as source:
            assert isinstance(source, pa.NativeFile) and not isinstance(source, pa.PythonFile)
            assert source.read() == (run.path / name).read_bytes()
    assert fetched == [f"{url}/{name}"]
    assert len(Run(url).plan) == 4 and people(url) > 0
    # Another one in its place is not taken for it.
    storage_at(url).replace(name, b"another")
    with storage_at(url).open(name) as file:
        assert file.read() == b"another"


def test_a_store_without_conditions_is_found_out_and_still_keeps_one_record(remote, proxy, monkeypatch):
    from annotator.runtime.destination import check_writable

    url, run = remote
    assert check_writable(url) is None
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    objects.client.cache_clear()
    warning = check_writable(url)
    assert warning is not None and "no conditional writes" in warning
    assert commit(url, run, 0).won and not commit(url, run, 0).won
    commit(url, run, 1)
    assert verify(url).ok


def test_no_secret_reaches_a_message(remote, proxy):
    url, run = remote
    proxy.judge = lambda method, path: FAIL
    with pytest.raises(RunFailed) as caught:
        commit(url, run, 0)
    for secret in ("AKIATESTKEYID", "a-secret-of-the-tests", "Signature"):
        assert secret not in str(caught.value)


def test_a_run_in_a_bucket_is_evaluated_derived_from_and_made_to_forget(bucket, make_run, picture, tmp_path):
    boxes = [[20, 30, 100, 200], [300, 40, 90, 180]]
    made = make_run([picture(f"{i}.jpg", poses_of(boxes, scores=[0.9, 0.4])) for i in range(3)]).commit()
    url = f"{bucket}/runs/base"
    for file in made.path.rglob("*.*"):
        storage_at(url).replace(str(file.relative_to(made.path)), file.read_bytes())

    def annotator(*arguments: object) -> str:
        command = [Path(sys.executable).parent / "annotator", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    truth = tmp_path / "truth.json"
    FORMATS["coco"](made.open(), truth)
    figures = json.loads(annotator("eval", url, "--gt", truth, "--json", "-"))
    assert figures["images"] == 3 and figures["gt_people"] == 6
    assert figures["keypoints"]["AP"] == figures["bbox"]["AP"] == 1.0

    annotator("run", "--from", url, "--out", f"{bucket}/runs/surer", "--set", "detector_threshold=0.5")
    surer = Run(f"{bucket}/runs/surer")
    assert verify(surer.place).ok and surer.metadata["derived_from"]["run"] == "base"
    assert people(surer.place) == 3
    assert json.loads(annotator("eval", surer.place, "--gt", truth, "--json", "-"))["people"] == 3

    annotator("forget", surer.place, "--source", "/data/0.jpg")
    assert verify(surer.place).ok and people(surer.place) == 2
