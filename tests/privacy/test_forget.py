"""Forgetting: an input leaves every layer of a run, whatever interrupts it, and nothing else changes."""

from __future__ import annotations

import contextlib
import json
import shutil

import pyarrow.parquet as pq
import pytest

from annotator.errors import RunFailed, UserError
from annotator.privacy import forget as forgetting
from annotator.privacy.forget import forget
from annotator.privacy.matching import Matcher
from annotator.report.page import write_report
from annotator.runtime.journal import Journal
from annotator.runtime.launch import put_in_order
from annotator.runtime.progress import ProgressBar
from annotator.store import run_info
from annotator.store.commit import ShardWriter
from annotator.store.leftovers import sweep
from annotator.store.local import LocalStorage
from annotator.store.plan import read_plan
from annotator.store.recovery import repair
from annotator.store.review_folder import copies_folder
from annotator.store.reviews import Review, read, write_layer
from annotator.store.status import summarise
from annotator.store.verify import verify
from annotator.tracks.layer import follow_run

NAMES = [f"{who}/{n}.jpg" for who in ("anna", "bert", "anna-2") for n in range(4)]


@pytest.fixture
def run(make_run, picture, people):
    """Twelve pictures in shards of three, two people in each; anna's fill the first and begin the second."""
    two = people([[9, 9, 20, 40], [50, 9, 20, 40]])
    made = make_run([picture(name, two) for name in NAMES], shard_size=3)
    made.commit()
    opened = made.open()
    people_ids = [value for batch in opened.instances(["id"]) for value in batch["id"].to_pylist()]
    images = [value for batch in opened.instances(["image_id"]) for value in batch["image_id"].to_pylist()]
    write_layer(
        opened,
        [
            Review(person, image, "accepted", None, "me", "2026-01-01T00:00:00Z")
            for person, image in zip(people_ids, images, strict=True)
        ],
    )
    write_layer(opened, [Review(people_ids[0], images[0], "rejected", None, "me", "2026-01-02T00:00:00Z")])
    (made.path / "report.html").write_text("<html>anna/0.jpg</html>")
    with Journal(made.path, 12, 0) as journal:
        journal.write("died", worker="w1", detail="killed at /data/anna/1.jpg")
        journal.write("died", worker="w2", detail="killed at /data/bert/1.jpg")
    return made


def rows(run, table: str) -> dict[int, dict]:
    key = "index" if table == "images" else "id"
    batches = run.open().images() if table == "images" else run.open().instances()
    return {row[key]: row for batch in batches for row in batch.to_pylist()}


def traces(run, word: str) -> list[str]:
    """Files below the run folder that hold a word, plain or in a Parquet column."""
    found = []
    for path in run.path.rglob("*"):
        if path.is_file() and path.suffix == ".parquet":
            text = json.dumps(pq.read_table(path).to_pylist(), default=str)
        else:
            text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
        found += [path.name] if word in text else []
    return found


def check(run, before_images, before_people) -> None:
    report = verify(run.path)
    assert report.ok, report.problems
    assert (report.planned, report.forgotten, report.images) == (8, 4, 8)
    assert traces(run, "anna/") == []
    # Everybody else keeps every value, ids included.
    assert rows(run, "images") == {i: row for i, row in before_images.items() if i >= 4}
    assert rows(run, "instances") == {i: row for i, row in before_people.items() if i >> 12 >= 4}
    plan = read_plan(run.path)
    assert [item.file_name for shard in plan.shards for item in plan.items(shard)] == NAMES[4:]
    assert [len(plan.items(shard)) for shard in plan.shards] == [0, 2, 3, 3]
    assert {person >> 12 for person in read(run.open())} == set(range(4, 12))
    assert summarise(run.path).complete and summarise(run.path).items == 8
    assert len(traces(run, "bert/1.jpg")) == 3  # plan, images, log


def test_an_input_leaves_every_layer_and_nothing_else_changes(run):
    images, people = rows(run, "images"), rows(run, "instances")
    done = forget(str(run.path), ["anna"])
    assert (done.inputs, done.items, done.people, done.shards) == (4, 4, 8, 2)
    assert (done.reviews, done.removed, done.left) == (9, ("report.html",), ())
    check(run, images, people)
    write_report(run.open())
    again = forget(str(run.path), ["anna-2/*", "bert/3.jpg"])
    assert again.items == 5
    report = verify(run.path)
    assert report.ok and (report.planned, report.forgotten) == (3, 9)
    with pytest.raises(UserError, match="no input"):
        forget(str(run.path), ["anna"])


def test_what_a_killed_retry_left_in_another_shard_goes_too(run):
    attempt = f"s000003-g001-{'0' * 16}.parquet"
    left = [run.path / "images" / f".{attempt}.tmp", run.path / "instances" / attempt]
    images, people = rows(run, "images"), rows(run, "instances")
    for path in left:
        path.write_bytes(b"anna/0.jpg")
    forget(str(run.path), ["anna"])
    check(run, images, people)
    assert verify(run.path).leftovers == 0 and not any(path.exists() for path in left)
    # Where one stays or comes after all, the proof says what to do.
    left[0].write_bytes(b"anna/0.jpg")
    (problem,) = verify(run.path).problems
    assert problem.kind == "remains" and "begin with a dot" in problem.message


def test_a_run_that_ends_beside_it_takes_nothing_from_it(run, monkeypatch):
    """Its signs of life are none of a driver's: the end comes between its files and their record."""
    images, people = rows(run, "images"), rows(run, "instances")
    publish = ShardWriter._publish

    def beside(self, record):
        put_in_order(str(run.path), ProgressBar(quiet=True))
        return publish(self, record)

    monkeypatch.setattr(ShardWriter, "_publish", beside)
    assert forget(str(run.path), ["anna"]).shards == 2
    assert repair(run.path) == {}
    check(run, images, people)


def test_an_attempt_that_was_begun_before_brings_nothing_back(run, monkeypatch):
    """A retry of another shard, as slow as can be: it would win after all was forgotten."""
    publish = ShardWriter._publish

    def slow(self, record):
        monkeypatch.setattr(ShardWriter, "_publish", publish)
        forget(str(run.path), ["anna"])
        return publish(self, record)

    monkeypatch.setattr(ShardWriter, "_publish", slow)
    outcome = ShardWriter(run.path, 3, 1).commit(*run.tables(3), {})
    assert not outcome.won
    report = verify(run.path)
    assert report.ok and report.leftovers == 0


def test_it_does_not_end_while_rows_are_lost(run, monkeypatch):
    """What was replaced would stand again, with what was to be forgotten."""
    scrub = forgetting.scrub_logs

    def lose(*arguments):
        next((run.path / "images").glob("s000000-g001-*")).unlink()
        scrub(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(forgetting, "scrub_logs", lose)
        with pytest.raises(RunFailed, match=r"rows of 1 shards .* are lost.*`annotator retry`"):
            forget(str(run.path), ["anna"])
    assert run_info.is_forgetting(run.path)
    repair(run.path)
    images, people = rows(run, "images"), rows(run, "instances")
    forget(str(run.path), ["anna"])
    check(run, images, people)


def test_a_damaged_review_layer_is_named_and_the_proof_goes_on(run):
    forget(str(run.path), ["anna"])
    layer = next((run.path / "reviews").glob("*.parquet"))
    layer.write_bytes(layer.read_bytes()[:-40])
    report = verify(run.path)
    assert report.counts == {"unreadable": 1} and report.problems[0].where == f"reviews/{layer.name}"


def test_nothing_is_forgotten_while_a_review_layer_cannot_be_read(run):
    layer = next((run.path / "reviews").glob("*.parquet"))
    sound = layer.read_bytes()
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path != layer}
    layer.write_bytes(sound[:-40])
    with pytest.raises(UserError, match=rf"reviews/{layer.name} cannot be read .* nothing was forgotten"):
        forget(str(run.path), ["anna"])
    after = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path != layer}
    assert after == before

    pq.write_table(
        pq.read_table(next(iter((run.path / "images").glob("*.parquet")))).select(["index"]), layer
    )
    (run.path / run_info.FORGETTING).write_text(json.dumps({"patterns": ["anna"]}))
    with pytest.raises(UserError, match="what was begun stays unfinished"):
        forget(str(run.path), ["anna"])

    layer.write_bytes(sound)
    images, people = rows(run, "images"), rows(run, "instances")
    forget(str(run.path), ["anna"])
    check(run, images, people)


def test_interrupted_at_any_write_it_is_finished_by_the_next_call(run, monkeypatch, tmp_path):
    """Each write and removal in turn fails before or after it was done; the same command then goes on."""
    images, people = rows(run, "images"), rows(run, "instances")
    shutil.copytree(run.path, tmp_path / "whole")
    real = {name: getattr(LocalStorage, name) for name in ("add", "create", "replace", "remove")}
    point = 0
    while True:
        calls = 0

        def broken(name, point=point):
            def call(self, *arguments):
                nonlocal calls
                calls += 1
                if calls == point // 2 + 1 and point % 2 == 0:
                    raise KeyboardInterrupt
                result = real[name](self, *arguments)
                if calls == point // 2 + 1:
                    raise KeyboardInterrupt
                return result

            return call

        for name in real:
            monkeypatch.setattr(LocalStorage, name, broken(name))
        try:
            forget(str(run.path), ["anna"])
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
        for name, method in real.items():
            monkeypatch.setattr(LocalStorage, name, method)
        if not interrupted:
            break
        if (run.path / run_info.FORGETTING).exists():
            assert verify(run.path).counts["forgetting"] == 1
        if not (verify(run.path).ok and verify(run.path).forgotten):
            forget(str(run.path), ["anna"])
        check(run, images, people)
        shutil.rmtree(run.path)
        shutil.copytree(tmp_path / "whole", run.path)
        point += 1
    assert point > 20


def test_rows_that_another_program_committed_meanwhile_are_no_success(run, monkeypatch):
    """A driver that was not seen gives the shard its next generation, with the rows that were to go."""
    images, people = rows(run, "images"), rows(run, "instances")

    class Late(ShardWriter):
        def commit(self, *arguments, **options):
            with contextlib.suppress(StopIteration):
                rival = next(rivals)
                assert ShardWriter(run.path, rival, 1).commit(*run.tables(rival), {}).won
            return super().commit(*arguments, **options)

    rivals = iter([0])
    monkeypatch.setattr(forgetting, "ShardWriter", Late)
    with pytest.raises(RunFailed, match=r"shard 0 of .* was changed by another program .* run this again"):
        forget(str(run.path), ["anna"])
    assert verify(run.path).counts["forgetting"] == 1
    forget(str(run.path), ["anna"])
    check(run, images, people)


def test_nothing_is_swept_from_under_a_driver_that_began_meanwhile(run):
    images, people = rows(run, "images"), rows(run, "instances")
    under_way = run.path / "images" / f"s000003-g001-{'0' * 16}.parquet"
    with contextlib.ExitStack() as drivers:

        def begin(text):
            if text.startswith("looking"):
                drivers.enter_context(Journal(run.path, 12, 0))
                under_way.write_bytes(b"PAR1")

        with pytest.raises(RunFailed, match=r"a driver began on .* run this again"):
            forget(str(run.path), ["anna"], begin)
        assert under_way.exists()
    assert verify(run.path).counts["forgetting"] == 1
    forget(str(run.path), ["anna"])
    check(run, images, people)


def test_films_are_one_input_and_patterns_mean_what_they_say():
    matcher = Matcher(["/data/anna", "*/b?rt.mp4", "c[1].jpg"])
    for name in ("/data/anna", "/data/anna/x/1.jpg", "x/y/bert.mp4", "c[1].jpg", "c1.jpg"):
        assert matcher(name), name
    for name in ("/data/anna-2/1.jpg", "bert.mp4", "/data", "c[1].jpg.png"):
        assert not matcher(name), name


def test_what_cannot_be_forgotten_is_said(make_run, picture):
    made = make_run([picture("a/1.jpg"), picture("a/2.jpg"), picture("b/3.jpg")]).commit(0)
    with pytest.raises(UserError, match="not finished"):
        forget(str(made.path), ["a"])
    made.commit(1)
    with pytest.raises(UserError, match="no input"):
        forget(str(made.path), ["c"])
    with Journal(made.path, 3, 0), pytest.raises(UserError, match="at work"):
        forget(str(made.path), ["a"])
    with pytest.raises(UserError, match="--source"):
        forget(str(made.path), [""])
    forget(str(made.path), ["*"])
    report = verify(made.path)
    assert report.ok and (report.planned, report.forgotten) == (0, 3)


def test_a_film_goes_with_its_tracks_copies_and_reviews_and_the_other_film_stays(film_run, walkers):
    """Two films share a shard; one is forgotten, as a whole."""
    films = [walkers(20, [(20.0, 100.0, 8.0), (400.0, 110.0, -8.0)]), walkers(20, [(50.0, 90.0, 6.0)])]
    made = film_run(films, shard_size=15).commit()
    follow_run(made.open())
    sweep(made.path)
    opened, other = made.open(), rows(made, "instances")
    people = [(row["id"], row["image_id"]) for row in other.values()]
    write_layer(
        opened, [Review(who, image, "accepted", None, "me", "2026-01-01T00:00:00Z") for who, image in people]
    )
    copies = copies_folder(made.path, opened.info)
    copies.mkdir(parents=True)
    for index in range(40):
        (copies / f"{index}.jpg").write_bytes(b"a frame")
    # A copy that was not finished, and those of other loads in this place: who knows what they show?
    unclear = [copies / "7.tmp", copies.parent / "30.jpg", copies.parent / "0123abcd" / "31.jpg"]
    unclear[-1].parent.mkdir()
    for path in unclear:
        path.write_bytes(b"a frame")
    write_report(opened)
    (made.path / "notes.txt").write_text("0.mp4 is Anna's")

    done = forget(str(made.path), ["*/0.mp4"])
    assert (done.inputs, done.items, done.people, done.reviews, done.copies) == (1, 20, 40, 40, 23)
    assert done.removed == ("report.html", "README.md") and done.left == ("notes.txt",)
    (made.path / "notes.txt").unlink()
    assert traces(made, "0.mp4") == []
    assert sorted(int(path.stem) for path in copies.iterdir()) == list(range(20, 40))
    assert not any(path.exists() for path in unclear)
    assert rows(made, "instances") == {who: row for who, row in other.items() if who >> 12 >= 20}
    assert set(made.rows("tracks")["video_uri"].to_pylist()) == {"/data/1.mp4"}
    assert {person >> 12 for person in read(made.open())} == set(range(20, 40))
    report = verify(made.path)
    assert report.ok, report.problems
    assert (report.planned, report.forgotten) == (20, 20)

    # The proof would see what is left.
    for path in (copies / "3.jpg", *unclear):
        path.write_bytes(b"a frame")
    assert [problem.kind for problem in verify(made.path).problems] == ["remains"] * 4
