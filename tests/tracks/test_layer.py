"""Tracks in the rows: whole over shard borders, the same after any crash, and nothing else changed."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotator.errors import ItemError, RunFailed
from annotator.store.commit import ShardWriter
from annotator.store.leftovers import sweep
from annotator.store.records import record_name, standing_record
from annotator.store.snapshot import Snapshot
from annotator.store.verify import verify
from annotator.tracks import layer
from annotator.tracks.films import film_shards, films_of
from annotator.tracks.layer import follow_run


def follow(made) -> int:
    """As a run ends: people followed, superseded rows swept away."""
    films = follow_run(made.open())
    sweep(made.path)
    return films


CROSSING = [(20.0, 100.0, 8.0), (500.0, 110.0, -8.0)]


def test_a_reader_of_the_files_sees_one_track_a_person(film_run, walkers):
    made = film_run([walkers(60, CROSSING)]).commit()
    assert follow(made) == 1
    sweep(made.path)
    found = duckdb.sql(
        f"""SELECT track_id, count(*), min(person_index), max(person_index)
        FROM '{made.path}/instances/*.parquet' GROUP BY 1 ORDER BY 1"""
    ).fetchall()
    assert [row[1:] for row in found] == [(60, 0, 0), (60, 1, 1)]
    tracks = duckdb.sql(f"SELECT * EXCLUDE score FROM '{made.path}/tracks/*.parquet' ORDER BY id").fetchall()
    assert tracks == [(1, "/data/0.mp4", 0, 59, 60), (2, "/data/0.mp4", 0, 59, 60)]
    assert verify(made.path).ok


def test_nothing_but_identity_changes(film_run, walkers):
    made = film_run([walkers(30, CROSSING)]).commit()
    images, before = made.rows("images"), made.rows()
    follow(made)
    assert made.rows("images").equals(images)
    assert made.rows().drop_columns(["track_id"]).equals(before.drop_columns(["track_id"]))
    assert made.rows()["track_id"].null_count == 0


def test_who_reads_a_run_of_before_hears_that_it_was_replaced(film_run, walkers):
    made = film_run([walkers(20, CROSSING)]).commit()
    before = Snapshot(made.open())
    (film,) = films_of(before.plan)
    follow(made)
    for rows in (before.instances(), film_shards(before, before.committed(), film)):
        with pytest.raises(RunFailed, match=r"shard 0 were replaced since this began.*run this again"):
            list(rows)


def test_shard_borders_change_nothing(film_run, walkers):
    missing = frozenset({(9, 0), (10, 0), (19, 1), (20, 1), (30, 0), (31, 0), (30, 1), (31, 1)})
    names = []
    for size in (1, 7, 10, 64):
        made = film_run([walkers(64, CROSSING, missing)], size, f"run-{size}").commit()
        follow(made)
        names.append(made.names())
    assert names[0] == names[1] == names[2] == names[3]
    assert len(set(names[0].values())) == 2


def test_films_that_share_a_shard_do_not_share_tracks(film_run, walkers):
    made = film_run([walkers(25, CROSSING), walkers(3, CROSSING[:1]), walkers(25, CROSSING)]).commit()
    assert follow(made) == 3
    owners = {row["id"]: row["video_uri"] for row in made.rows("tracks").to_pylist()}
    assert sorted(owners.values()) == ["/data/0.mp4"] * 2 + ["/data/1.mp4"] + ["/data/2.mp4"] * 2
    assert verify(made.path).ok


def test_a_second_pass_has_nothing_to_do(film_run, walkers):
    made = film_run([walkers(25, CROSSING)]).commit()
    follow(made)
    records = made.open().committed()
    assert follow(made) == 0
    assert made.open().committed() == records


def test_two_drivers_may_follow_at_once(film_run, walkers, monkeypatch):
    made = film_run([walkers(25, CROSSING), walkers(25, CROSSING)], 10).commit()
    alone = layer._follow
    others: list[int] = []

    def interrupted(run, records, film, links):
        if not others:
            others.append(0)
            others[0] = follow(made)
        return alone(run, records, film, links)

    monkeypatch.setattr(layer, "_follow", interrupted)
    assert follow(made) == 0 and others == [2]
    assert verify(made.path).ok


def test_rows_that_cannot_be_read_end_a_pass(film_run, walkers):
    made = film_run([walkers(25, CROSSING)], 10).commit()
    lost = sorted((made.path / "instances").iterdir())[1]
    lost.unlink()
    with pytest.raises(RunFailed):
        follow_run(made.open())


def test_no_tracks_are_put_on_rows_that_are_not_what_was_committed(film_run, walkers):
    made = film_run([walkers(20, CROSSING)]).commit()
    record = standing_record(made.path, 0)
    path = made.path / record.files["images"].name
    pq.write_table(pq.read_table(path), path, compression="none")
    entry = replace(record.files["images"], bytes=path.stat().st_size)
    record = replace(record, files={**record.files, "images": entry})
    (made.path / record_name(0)).write_bytes(record.to_json())
    with pytest.raises(RunFailed, match="content is not what was committed"):
        follow(made)


def test_a_record_that_another_driver_put_aside_ends_a_pass_in_words(film_run, walkers):
    made = film_run([walkers(20, CROSSING)]).commit()
    (made.path / record_name(0)).unlink()
    with pytest.raises(RunFailed, match=r"shard 0 is committed no more; run again"):
        follow(made)


@pytest.mark.parametrize("commits", range(5))
def test_a_pass_that_died_is_made_good_by_the_next(film_run, walkers, monkeypatch, commits):
    films = [walkers(25, CROSSING), walkers(25, CROSSING)]
    whole = film_run(films, name="whole").commit()
    follow(whole)
    made = film_run(films).commit()
    _die_after(monkeypatch, commits)
    with pytest.raises(KeyboardInterrupt):
        follow_run(made.open())
    monkeypatch.undo()
    unfinished = verify(made.path)
    assert set(unfinished.counts) <= {"not-followed", "orphan", "leftover", "mismatch"}
    assert not unfinished.ok
    follow(made)
    assert made.names() == whole.names()
    assert made.rows("tracks").equals(whole.rows("tracks"))
    assert verify(made.path).ok


@pytest.mark.parametrize("commits", range(4))
def test_after_a_retry_films_are_followed_anew_whatever_dies(film_run, walkers, monkeypatch, commits):
    """While frames 10 to 29 could not be read, everybody was split; once they can, nobody is."""
    good = walkers(50, CROSSING)
    bad = [
        ItemError("decode", "corrupt", "damaged") if 10 <= n < 30 else people for n, people in enumerate(good)
    ]
    other = walkers(17, CROSSING[1:])
    whole = film_run([good, other], name="whole").commit()
    follow(whole)
    made = film_run([bad, other]).commit()
    follow(made)
    assert verify(made.path).ok
    made.people = [*good, *other]
    made.commit(1, 2, generation=2)
    if commits:
        _die_after(monkeypatch, commits - 1)
        with pytest.raises(KeyboardInterrupt):
            follow_run(made.open())
        monkeypatch.undo()
        assert not verify(made.path).ok
    follow(made)
    assert made.names() == whole.names()
    assert made.rows("tracks").equals(whole.rows("tracks"))
    assert verify(made.path).ok


def _die_after(monkeypatch, commits: int) -> None:
    original, done = ShardWriter.commit, []

    def commit(self, *arguments):
        if len(done) == commits:
            raise KeyboardInterrupt
        done.append(original(self, *arguments))
        return done[-1]

    monkeypatch.setattr(ShardWriter, "commit", commit)


def test_no_track_leaves_rows_alone(film_run, walkers):
    made = film_run([walkers(15, CROSSING)], track=False).commit()
    assert follow(made) == 0
    assert not (made.path / "tracks").exists()
    assert verify(made.path).ok


def test_verify_names_films_that_were_not_followed(film_run, walkers):
    made = film_run([walkers(15, CROSSING)]).commit()
    assert verify(made.path).counts == {"not-followed": 2}


def test_verify_sees_a_track_that_its_instances_do_not_bear_out(film_run, walkers):
    made = film_run([walkers(25, CROSSING)]).commit()
    follow(made)
    run = made.open()
    record = run.committed()[1]
    images, instances, tracks = (run.rows_of(record, name) for name in ("images", "instances", "tracks"))
    place = instances.schema.get_field_index("track_id")
    swapped = instances["track_id"].to_pylist()
    swapped[0] = swapped[1]
    wrong = instances.set_column(place, instances.schema.field(place), pa.array(swapped, pa.int64()))
    ShardWriter(made.path, 1, 2).commit(images, wrong, {}, tracks)
    sweep(made.path)
    assert verify(made.path).counts == {"doubled": 1, "mismatch": 2}


def test_verify_names_a_table_of_something_else_in_the_place_of_tracks(film_run, walkers):
    made = film_run([walkers(20, CROSSING)]).commit()
    follow(made)
    tracks, images = (next((made.path / table).glob("s000000-*")) for table in ("tracks", "images"))
    tracks.write_bytes(images.read_bytes())
    assert {"damaged", "orphan"} <= verify(made.path).counts.keys()
