"""Error rows run again and lost shards made whole: after something was forgotten too, and what is refused."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from annotator.errors import ItemError, RunFailed, UserError
from annotator.models.estimator import Estimator
from annotator.models.sources import ModelSource
from annotator.privacy.forget import forget
from annotator.runtime import ingredients, launch
from annotator.runtime import retry as retrying
from annotator.runtime.job import Job
from annotator.runtime.journal import Journal
from annotator.runtime.progress import ProgressBar
from annotator.runtime.retry import retry
from annotator.skeletons import COCO_17
from annotator.store import run_info
from annotator.store.plan_file import save_plan
from annotator.store.records import record_name
from annotator.store.verify import verify

INLINE = {"executor": "inline", "device": "cpu"}


class Models(Estimator):
    """None of the pictures of these runs exist, so that nobody is ever asked for people."""

    skeleton = COCO_17

    def prepare(self, image):
        return image


@pytest.fixture
def run(make_run, picture, people, monkeypatch):
    """Seven pictures in shards of three: the second and the fifth are errors, of two kinds."""
    module = ModuleType("models_of_a_retry")
    module.build = lambda job, threads: (Models(), Models())  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    failed = {1: ItemError("decode", "corrupt", "bits fell"), 4: ItemError("pose", "no_memory", "too big")}
    one = people([[9, 9, 20, 40]])
    made = make_run([picture(f"{n}.jpg", failed.get(n, one)) for n in range(7)], shard_size=3).commit()
    run_info.update(made.path, state="finished", finished_at=run_info.now())
    monkeypatch.setattr(
        ingredients, "resolve_models", lambda *_: (ModelSource("m", "pose", "", None, ""), None)
    )
    monkeypatch.setattr(
        ingredients,
        "make_provenance",
        lambda config, plan, *_: replace(made.provenance, plan_sha256=plan.sha256),
    )
    monkeypatch.setattr(retrying, "Job", partial(Job, models="models_of_a_retry:build"))
    return made


def again(run, kinds: Iterable[str] = (), **placement):
    return retry(str(run.path), INLINE | placement, ProgressBar(), frozenset(kinds))


def errors(run) -> dict[int, str]:
    rows = [row for batch in run.open().images() for row in batch.to_pylist()]
    return {row["index"]: row["error_kind"] for row in rows if row["status"] == "error"}


@pytest.mark.parametrize("pattern", ["0.jpg", "1.jpg", "[345].jpg"])
def test_errors_are_run_again_after_something_was_forgotten(run, pattern) -> None:
    forget(str(run.path), [pattern])
    left = errors(run).keys()
    assert again(run).images == len(left)
    assert errors(run) == dict.fromkeys(left, "missing")
    report = verify(run.path)
    assert report.ok, report.problems
    # All rows name one plan, and nothing keeps the next retry.
    assert run.open().info.provenance == run.provenance
    assert run.open().metadata["plan_sha256"] == run.provenance.plan_sha256
    assert again(run).images == len(left)


@pytest.mark.parametrize(("pattern", "shard"), [("0.jpg", 0), ("0.jpg", 2), ("6.jpg", 2)])
@pytest.mark.parametrize("damaged", ["record", "rows"])
def test_a_shard_damaged_after_something_was_forgotten_is_made_whole(run, pattern, shard, damaged) -> None:
    """The plan knows what is left of it, which may be nothing; nobody has to list the inputs."""
    forget(str(run.path), [pattern])
    record = run.open().committed()[shard]
    rows = record.files["images"].name
    path = run.path / (rows if damaged == "rows" else record_name(shard, record.generation))
    path.write_bytes(path.read_bytes()[:-5])
    left = [index for index in range(3 * shard, min(7, 3 * shard + 3)) if f"{index}.jpg" != pattern]

    again(run, {"pose/no_memory"})
    failed = {1: "corrupt", 4: "missing"} | dict.fromkeys(left, "missing")
    assert errors(run) == {index: kind for index, kind in failed.items() if f"{index}.jpg" != pattern}
    report = verify(run.path)
    assert report.ok, report.problems
    assert (report.planned, report.forgotten) == (6, 1)
    assert run.open().info.state == "finished"


def test_a_run_that_a_driver_is_still_at_work_on_is_left_to_it(make_run, picture) -> None:
    made = make_run([picture("a.jpg"), picture("b.jpg")], shard_size=1).commit(0)
    with Journal(made.path, 2, 0), pytest.raises(UserError, match=r"1 of 2 shards.* a driver is at work"):
        again(made)


def test_where_nobody_can_tell_whether_a_driver_is_at_work_it_is_said(make_run, picture) -> None:
    made = make_run([picture("a.jpg"), picture("b.jpg")], shard_size=1).commit(0)
    logs = made.path / "logs"
    logs.symlink_to(logs)
    with pytest.raises(UserError, match=r"logs cannot be read \(Too many .* move it away"):
        again(made)


def test_a_plan_of_another_number_of_shards_is_refused(run) -> None:
    run_info.update(run.path, shards=9)
    with pytest.raises(UserError, match="says 9 shards, and the plan has 3"):
        again(run)


def test_settings_in_which_a_bit_fell_are_refused(run) -> None:
    """The other rows were made with other ones."""
    path = run.path / run_info.FILE_NAME
    path.write_text(path.read_text().replace('"max_people": 200', '"max_people": 201'))
    with pytest.raises(RunFailed, match=r"settings in run\.json are damaged"):
        retry(str(run.path), INLINE, ProgressBar(quiet=True))


def test_a_plan_that_is_not_the_runs_is_refused(run) -> None:
    about = {"shard_size": 3, "sha256": "45" * 32, "duplicates": 0, "notes": []}
    save_plan(run.path, about, list(run.open().plan.tables()))
    with pytest.raises(UserError, match="inputs: 7 planned before"):
        again(run)


@pytest.mark.parametrize(
    ("placement", "message"),
    [({"workers": -1}, "workers: .*got -1"), ({"executor": "rays"}, "executor"), ({"limit": 3}, "limit")],
)
def test_a_placement_that_cannot_be_is_refused_as_by_run(run, placement, message) -> None:
    with pytest.raises(UserError, match=message):
        again(run, **placement)
    assert run.open().info.state == "finished"


def test_a_kind_that_is_mended_is_no_error_and_is_named_beside_those_that_are_left(run, capsys) -> None:
    assert again(run, {"decode/corrupt"}).images == 1
    assert errors(run) == {1: "missing", 4: "no_memory"}
    capsys.readouterr()
    report = again(run, {"decode/corrupt"})
    assert (report.images, report.exit_code) == (0, 0)
    said = capsys.readouterr().err
    assert "no errors of kind decode/corrupt; those there are: " in said and "pose/no_memory" in said
    assert again(run, {"decode/corrupt", "read/missing"}).images == 1


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"{"), Path.unlink], ids=["torn", "lost"])
def test_a_superseded_record_that_is_damaged_keeps_no_retry(run, damage) -> None:
    again(run, {"decode/corrupt"})
    damage(run.path / record_name(0))
    again(run, {"read/missing"})
    assert run.open().committed()[0].generation == 2


@pytest.mark.parametrize("kind", ["corrupt", "decoding/corrupt", "decode/", "/corrupt"])
def test_what_is_no_kind_of_error_is_refused(run, kind) -> None:
    with pytest.raises(UserError, match=rf"--kind {kind}: .* STAGE/KIND.* read, decode"):
        again(run, {"decode/corrupt", kind})
    assert errors(run) == {1: "corrupt", 4: "no_memory"}


def test_without_any_errors_there_is_nothing_to_do(make_run, picture) -> None:
    made = make_run([picture("a.jpg")]).commit()
    run_info.update(made.path, state="finished", finished_at=run_info.now())
    for kinds in ((), {"read/missing"}):
        assert (again(made, kinds).images, again(made, kinds).exit_code) == (0, 0)


def test_a_retry_with_nothing_to_do_sweeps_what_dead_attempts_left(run) -> None:
    """One died at a shard, one long ago at a retry of it: nothing is left to be removed by hand."""
    left = [run.path / f"images/s000001{of}-{'0' * 16}.parquet" for of in ("", "-g001")]
    for path in left:
        path.write_bytes(b"PAR1")
        os.utime(path, (0, 0))
    assert not verify(run.path).ok
    again(run, {"read/missing"})
    assert not any(path.exists() for path in left) and verify(run.path).ok


@pytest.mark.parametrize("state", ["running", "failed"])
def test_a_run_whose_driver_died_after_the_last_commit_is_put_in_order(run, state, monkeypatch) -> None:
    followed = []
    monkeypatch.setattr(launch, "follow_run", lambda run, say: followed.append(run.path))
    run_info.update(run.path, state=state, failure="the power went" if state == "failed" else None)
    assert again(run, {"read/missing"}).images == 0
    info = run.open().info
    assert (info.state, info.failure, len(followed)) == ("finished", None, 1)
