"""The commit protocol: one result a shard, whoever races, dies or runs out of disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from annotator.errors import RunFailed
from annotator.store.commit import ShardWriter
from annotator.store.leftovers import sweep
from annotator.store.reader import Run
from annotator.store.records import CommitRecord, CorruptRecordError, read_record, record_name
from annotator.store.recovery import repair, set_aside_damaged
from annotator.store.storage import storage_at
from annotator.store.verify import verify


@pytest.fixture
def run(make_run, picture, people):
    """Two shards of two items, nothing committed."""
    return make_run([picture(f"{i}.jpg", people([[i, i, 20, 40]] * (i + 1))) for i in range(4)])


def data_files(run_dir: Path) -> list[str]:
    """Everything under the folders of a run, hidden files included."""
    return sorted(
        str(p.relative_to(run_dir))
        for d in ("images", "instances", "commits")
        for p in (run_dir / d).glob("*")
    )


def named_by(record: CommitRecord) -> list[str]:
    return sorted([*(e.name for e in record.files.values()), f"commits/s{record.shard:06d}.json"])


def test_committed_rows_are_read_back(run) -> None:
    images, instances = run.tables(1)
    outcome = ShardWriter(run.path, 1).commit(images, instances, {"seconds": 2.0, "by": ("a", 1), 3: None})
    assert outcome.won
    record = read_record(storage_at(run.path), 1)
    assert (record.counts, record.people, record.generation) == ({"ok": 2, "empty": 0, "error": 0}, 7, 0)
    assert record.stats["by"] == ["a", 1]
    assert data_files(run.path) == named_by(record)
    stored = pq.read_table(run.path / record.files["instances"].name)
    assert stored.equals(instances) and b"pose" in stored.schema.metadata
    group = pq.ParquetFile(run.path / record.files["images"].name).metadata.row_group(0).column(0)
    assert group.compression == "ZSTD"


def test_the_second_attempt_loses_and_leaves_nothing(run) -> None:
    first = ShardWriter(run.path, 0).commit(*run.tables(0), {})
    before = data_files(run.path)
    second = ShardWriter(run.path, 0).commit(*run.tables(0), {})
    assert not second.won and second.record == first.record
    assert data_files(run.path) == before == named_by(first.record)


def test_a_loser_that_had_written_its_files_removes_them(run, monkeypatch) -> None:
    """The zombie: it looked before the other committed, and comes to the link after."""
    zombie = ShardWriter(run.path, 0)
    link, rivals = os.link, []

    def late_link(source, target):
        if not rivals:
            rivals.append(None)
            rivals.append(ShardWriter(run.path, 0).commit(*run.tables(0), {}))
        link(source, target)

    monkeypatch.setattr(os, "link", late_link)
    outcome = zombie.commit(*run.tables(0), {})
    assert not outcome.won and rivals[1].won and outcome.record == rivals[1].record
    assert data_files(run.path) == named_by(rivals[1].record)


@pytest.mark.parametrize("number", [1, 2])
def test_a_loser_whose_file_was_swept_before_it_was_in_place_has_lost(run, monkeypatch, number: int) -> None:
    """The other driver commits and sweeps between this one's write and its rename."""
    late, calls, rivals = ShardWriter(run.path, 0), [], []
    rename = os.rename

    def swept_away(source, target):
        calls.append(target)
        if len(calls) == number:
            rivals.append(ShardWriter(run.path, 0).commit(*run.tables(0), {}))
            sweep(run.path)
        rename(source, target)

    monkeypatch.setattr(os, "rename", swept_away)
    outcome = late.commit(*run.tables(0), {})
    assert not outcome.won and rivals[0].won and outcome.record == rivals[0].record
    assert data_files(run.path) == named_by(rivals[0].record)


def test_a_file_that_vanishes_without_a_winner_is_a_failure(run, monkeypatch) -> None:
    def vanish(source, target):
        os.unlink(source)  # noqa: PTH108
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))

    monkeypatch.setattr(os, "rename", vanish)
    with pytest.raises(RunFailed, match="No such file"):
        ShardWriter(run.path, 0).commit(*run.tables(0), {})
    assert data_files(run.path) == []


def test_threads_race_for_one_shard(run) -> None:
    tables = run.tables(0)
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda _: ShardWriter(run.path, 0).commit(*tables, {}), range(48)))
    winners = [o.record for o in outcomes if o.won]
    assert len(winners) == 1
    assert {o.record.attempt for o in outcomes} == {winners[0].attempt}
    assert data_files(run.path) == named_by(winners[0])


def in_fresh_process(script: str, *arguments: str) -> str:
    """Run a script in a new interpreter, which may fork, having no threads yet. Returns its stdout."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    end = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert end.returncode == 0, end.stderr
    return end.stdout


RACE = """
    import json, multiprocessing, sys
    import pyarrow.parquet as pq
    from annotator.store.commit import ShardWriter

    def race(run_dir, barrier, queue):
        files = [[f"{run_dir}/../{name}-{shard}.in" for name in ("images", "instances")] for shard in (0, 1)]
        tables = [[pq.ParquetFile(file).read() for file in pair] for pair in files]
        barrier.wait()
        queue.put([ShardWriter(run_dir, shard).commit(*tables[shard], {}).won for shard in (0, 1)])

    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(6), context.Queue()
    workers = [context.Process(target=race, args=(sys.argv[1], barrier, queue)) for _ in range(6)]
    [worker.start() for worker in workers]
    won = [queue.get(timeout=120) for _ in workers]
    [worker.join() for worker in workers]
    print(json.dumps(won))
"""


def test_processes_race_for_each_shard(run) -> None:
    for shard in (0, 1):
        for name, table in zip(("images", "instances"), run.tables(shard), strict=True):
            pq.write_table(table, run.path.parent / f"{name}-{shard}.in")
    won = json.loads(in_fresh_process(RACE, str(run.path)))
    assert [sum(row[shard] for row in won) for shard in (0, 1)] == [1, 1]
    assert verify(run.path).ok
    assert len(data_files(run.path)) == 6


# Each is a system call of a commit; the process is killed just before or just after its n-th use.
POINTS = [
    (call, n, when)
    for call, uses in (("open", 3), ("write", 3), ("fsync", 6), ("rename", 2), ("link", 1), ("unlink", 1))
    for n in range(1, uses + 1)
    for when in ("before", "after")
]

KILL = """
    import json, os, signal, sys
    import pyarrow.parquet as pq
    from annotator.store.commit import ShardWriter

    def commit(folder, call, n, when):
        files = (f"{folder}/../{name}.in" for name in ("images", "instances"))
        images, instances = (pq.ParquetFile(file).read() for file in files)
        real, seen = getattr(os, call), 0

        def deadly(*args, **kwargs):
            nonlocal seen
            seen += call != "open" or bool(args[1] & os.O_CREAT)
            if seen < n or (call == "open" and not args[1] & os.O_CREAT):
                return real(*args, **kwargs)
            if when == "after" and call == "write":
                real(args[0], bytes(args[1])[: len(args[1]) // 2])
            elif when == "after":
                real(*args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, call, deadly)
        ShardWriter(folder, 0).commit(images, instances, {})

    signals = []
    for folder, (call, n, when) in json.loads(sys.argv[1]):
        child = os.fork()
        if child == 0:
            commit(folder, call, n, when)
            os._exit(0)
        signals.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(signals))
"""


def test_killed_at_any_point_a_shard_is_whole_or_absent(run) -> None:
    """kill -9 at each system call of a commit; then another attempt and a sweep: nothing lost or doubled."""
    images, instances = run.tables(0)
    pq.write_table(images, run.path.parent / "images.in")
    pq.write_table(instances, run.path.parent / "instances.in")
    victims = []
    for number, point in enumerate(POINTS):
        folder = run.path.parent / f"killed-{number}"
        shutil.copytree(run.path, folder)
        for table in ("images", "instances", "commits"):
            (folder / table).mkdir()
        victims.append((str(folder), point))
    signals = json.loads(in_fresh_process(KILL, json.dumps(victims)))
    committed = 0
    for (name, point), signal in zip(victims, signals, strict=True):
        assert signal == -9, (point, signal)
        folder = Path(name)
        records = Run(folder).committed()
        committed += len(records)
        # Nothing half-written is visible: every visible data file is a whole Parquet file.
        for path in folder.glob("i*/s*.parquet"):
            assert pq.read_table(path).num_rows in (images.num_rows, instances.num_rows), point
        assert sweep(folder) == [] or records, point
        second = ShardWriter(folder, 0).commit(images, instances, {})
        assert second.won == (0 not in records), point
        sweep(folder)
        assert data_files(folder) == named_by(second.record), point
        report = verify(folder)
        assert report.counts == {"missing": 1} and report.doubled == 0, (point, report.problems)
        assert report.missing == 2  # shard 1, which nobody tried
    # Both outcomes happened: some were killed before the link, some after it.
    assert 0 < committed < len(POINTS)


def test_sweep_keeps_what_may_still_win(run, monkeypatch) -> None:
    """A sweep between a slow attempt's files and its link must not make a committed shard without files."""
    link, swept = os.link, []

    def slow_link(source, target):
        swept.append(sweep(run.path))
        link(source, target)

    monkeypatch.setattr(os, "link", slow_link)
    assert ShardWriter(run.path, 0).commit(*run.tables(0), {}).won
    assert swept == [[]]
    assert sum(batch.num_rows for batch in run.open().instances()) == 3


def test_sweep_removes_leftovers_of_committed_shards_only(run) -> None:
    run.commit(0)
    dead = "0123456789abcdef"
    leftovers = [
        f"images/s000000-{dead}.parquet",
        f"images/.s000000-{dead}.parquet.tmp",
        f"commits/.s000000-{dead}.json.tmp",
    ]
    kept = [f"images/s000001-{dead}.parquet", "images/notes.txt", "commits/mine.json"]
    for name in leftovers + kept:
        (run.path / name).write_bytes(b"x")
    assert sweep(run.path) == sorted(leftovers)
    assert all((run.path / name).exists() for name in kept)
    assert len(run.open().committed()) == 1


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "link"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_failing_disks_are_told_and_leave_no_file(run, monkeypatch, call: str, number: int) -> None:
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(RunFailed) as failure:
            ShardWriter(run.path, 0).commit(*run.tables(0), {})
    if number == errno.ENOSPC:
        assert "no space left" in str(failure.value) and "free space" in str(failure.value)
    assert str(run.path) in str(failure.value)
    assert data_files(run.path) == []
    assert ShardWriter(run.path, 0).commit(*run.tables(0), {}).won


def test_a_truly_full_disk(run, monkeypatch) -> None:
    """The kernel's own ENOSPC, by a file that refuses all bytes."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    real = os.open
    with monkeypatch.context() as patch:
        patch.setattr(
            os,
            "open",
            lambda path, flags, *mode: (
                real("/dev/full", os.O_WRONLY) if flags & os.O_CREAT else real(path, flags, *mode)
            ),
        )
        with pytest.raises(RunFailed, match="no space left"):
            ShardWriter(run.path, 0).commit(*run.tables(0), {})
    assert data_files(run.path) == []


def test_a_link_whose_reply_was_lost_still_won(run, monkeypatch) -> None:
    """A network file system may report a failure of a link that it has made."""
    real = os.link

    def lost_reply(source, target):
        real(source, target)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "link", lost_reply)
    outcome = ShardWriter(run.path, 0).commit(*run.tables(0), {})
    assert outcome.won
    assert data_files(run.path) == named_by(outcome.record)


def test_a_file_system_without_links_is_named(run, monkeypatch) -> None:
    def refuse(source, target):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(RunFailed, match="no hard links"):
        ShardWriter(run.path, 0).commit(*run.tables(0), {})
    assert data_files(run.path) == []


def test_a_failed_sync_after_the_link_takes_nothing_back(run, monkeypatch) -> None:
    real = os.fsync
    calls = []

    def fail_last(descriptor):
        calls.append(descriptor)
        if (run.path / "commits" / "s000000.json").exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail_last)
    with pytest.raises(RunFailed):
        ShardWriter(run.path, 0).commit(*run.tables(0), {})
    assert sum(batch.num_rows for batch in run.open().instances()) == 3


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"shard": 0}', None])
def test_a_corrupt_record_is_put_aside_and_the_shard_made_anew(run, damage: bytes | None) -> None:
    run.commit()
    path = run.path / record_name(0)
    text = path.read_text()
    path.write_bytes(damage if damage is not None else text.replace('"people": 3', '"people": 4').encode())
    with pytest.raises(CorruptRecordError):
        read_record(storage_at(run.path), 0)
    outcome = ShardWriter(run.path, 0).commit(*run.tables(0), {})
    assert outcome.won
    sweep(run.path)
    assert verify(run.path).ok
    assert len(data_files(run.path)) == 6


def test_repair_makes_damaged_shards_undone(make_run, picture) -> None:
    run = make_run([picture(f"{i}.jpg") for i in range(5)], shard_size=1).commit()
    (run.path / record_name(1)).write_bytes(b"{")
    lost = read_record(storage_at(run.path), 2).files["instances"].name
    (run.path / lost).unlink()
    short = run.path / read_record(storage_at(run.path), 3).files["images"].name
    short.write_bytes(short.read_bytes()[:-1])
    found = repair(run.path)
    assert list(found) == [1, 2, 3]
    assert "record is damaged" in found[1] and lost in found[2] and "bytes" in found[3]
    assert list(run.open().committed()) == [0, 4] and repair(run.path) == {}
    run.commit(1, 2, 3)
    sweep(run.path)
    assert verify(run.path).ok and len(data_files(run.path)) == 15


def test_a_good_record_is_never_put_aside(run) -> None:
    run.commit(0)
    record = read_record(storage_at(run.path), 0)
    assert not set_aside_damaged(storage_at(run.path), 0)
    assert read_record(storage_at(run.path), 0) == record
    assert data_files(run.path) == named_by(record)
    assert not set_aside_damaged(storage_at(run.path), 1)


def test_the_record_of_another_shard_is_corrupt(run) -> None:
    run.commit(0)
    (run.path / record_name(1)).write_bytes((run.path / record_name(0)).read_bytes())
    with pytest.raises(CorruptRecordError, match="record of shard 0"):
        read_record(storage_at(run.path), 1)


def test_records_survive_json(run) -> None:
    run.commit(0)
    record = read_record(storage_at(run.path), 0)
    assert CommitRecord.from_json(record.to_json()) == record
    assert json.loads(record.to_json())["generation"] == 0


def test_tables_that_break_the_contract_are_refused(run) -> None:
    images, instances = run.tables(0)
    writer = ShardWriter(run.path, 0)
    for broken, message in (
        ((images.drop_columns(["uri"]), instances), "images table is not of the contract"),
        ((images, instances.replace_schema_metadata(None)), "metadata"),
        ((images.slice(0, 0), instances), "no images"),
        (run.tables(1), "rows of shards"),
    ):
        with pytest.raises(ValueError, match=message):
            writer.commit(*broken, {})
    assert data_files(run.path) == []
