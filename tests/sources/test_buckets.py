"""Inputs in object stores: prefixes, patterns, lists here and there; what is planned is what can be read."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import obstore
import pytest

from annotator.errors import ItemError, UserError
from annotator.locations import location
from annotator.media.feed import ImageFeed
from annotator.media.image import ImageLimits, read_image
from annotator.media.remote import local_copy
from annotator.sources.buckets import is_input_object
from annotator.sources.folders import HEAD_BYTES
from annotator.sources.plan import build_plan
from annotator.store.objects import read_start
from annotator.store.storage import storage_at


def put(bucket: str, *names: str, data: bytes = b"x") -> None:
    for name in names:
        storage_at(bucket).replace(name, data)


def plan(*inputs: str, **options):
    return build_plan(inputs, shard_size=4, **options).table().to_pydict()


def test_a_prefix_holds_what_a_folder_would(bucket, tmp_path):
    names = ["a/1.jpg", "a/b/2.PNG", "a/.hidden/3.jpg", "a/notes.md", "a/ü #%20.jpg", "ab/4.jpg", "a/5.mp4x"]
    put(bucket, *names)
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    there, here = plan(f"{bucket}/a"), plan(str(tmp_path / "a"))
    assert sorted(there["file_name"]) == sorted(here["file_name"]) == ["1.jpg", "b/2.PNG", "ü #%20.jpg"]
    assert there["uri"] == [f"{bucket}/a/{name}" for name in there["file_name"]]
    assert plan(f"{bucket}/a/") == there
    assert (
        build_plan([f"{bucket}/a"], shard_size=4).sha256 == build_plan([f"{bucket}/a"], shard_size=4).sha256
    )
    assert build_plan([f"{bucket}/a"], shard_size=4).notes == (
        "skipped in folders: 1 .md, 1 .mp4x, 1 hidden",
    )


def test_patterns_and_single_objects(bucket):
    put(bucket, "a/1.jpg", "a/2.png", "a/b/3.jpg", "c/4.jpg", "a/[x].jpg")
    assert plan(f"{bucket}/a/*.jpg")["file_name"] == ["1.jpg", "[x].jpg"]
    assert plan(f"{bucket}/**/*.jpg")["file_name"] == ["a/1.jpg", "a/[x].jpg", "a/b/3.jpg", "c/4.jpg"]
    assert plan(f"{bucket}/a/**")["file_name"] == ["1.jpg", "2.png", "[x].jpg", "b/3.jpg"]
    assert plan(f"{bucket}/a/[x].jpg")["uri"] == [f"{bucket}/a/[x].jpg"]
    assert plan(f"{bucket}/?/4.jpg")["file_name"] == ["c/4.jpg"]
    for nothing in ("nowhere", "a/*.gif"):
        with pytest.raises(UserError, match="no picture or video"):
            plan(f"{bucket}/{nothing}")


def test_typescript_is_no_video(bucket):
    put(bucket, "a/code.ts", data=b"export const answer = 42\n")
    put(bucket, "a/film.ts", data=(b"G" + bytes(187)) * 99)
    for text in ("a", "a/**", "**/*"):
        made = build_plan([f"{bucket}/{text}"], shard_size=4)
        assert made.table()["video_uri"].to_pylist() == [f"{bucket}/a/film.ts"]
        assert made.notes[0] == "skipped in folders: 1 .ts"


def test_telling_ts_objects_apart_costs_one_small_request_each(bucket, monkeypatch):
    put(bucket, "large.ts", data=(b"G" + bytes(187)) * 20_000)
    put(bucket, "small.ts", data=(b"G" + bytes(187)) * 9)
    put(bucket, "empty.ts", data=b"")
    handed_out = []

    def counted(*args, get_range=obstore.get_range, **options):
        data = get_range(*args, **options)
        handed_out.append(len(data))
        return data

    with monkeypatch.context() as patch:
        patch.setattr(obstore, "get", None)
        patch.setattr(obstore, "get_range", counted)
        place = location(bucket)
        assert is_input_object(place, "large.ts") and is_input_object(place, "small.ts")
        assert handed_out == [HEAD_BYTES, 9 * 188]
        assert read_start(place.below("empty.ts"), 9) == b""
        with pytest.raises(FileNotFoundError):
            read_start(place.below("none.ts"), 9)


def test_lists_name_objects_from_either_side(bucket, tmp_path):
    put(bucket, "data/list.txt", data=b"img/1.jpg\n../2.jpg\n")
    rows = f"path\timage_id\n{bucket}/x/3.jpg\t7\n".encode()
    put(bucket, "data/list.tsv", data=rows)
    assert plan(f"{bucket}/data/list.txt")["uri"] == [f"{bucket}/data/img/1.jpg", f"{bucket}/2.jpg"]
    assert plan(f"{bucket}/data/list.tsv")["image_id"] == [7]
    (tmp_path / "coco.json").write_text(json.dumps({"images": [{"id": 5, "file_name": "9.jpg"}]}))
    made = plan(str(tmp_path / "coco.json"), image_root=f"{bucket}/photos")
    assert (made["uri"], made["file_name"], made["image_id"]) == ([f"{bucket}/photos/9.jpg"], ["9.jpg"], [5])
    (tmp_path / "list.txt").write_text(f"{bucket}/a/1.jpg\n{tmp_path}/2.jpg\n")
    assert plan(str(tmp_path / "list.txt"))["uri"] == [f"{bucket}/a/1.jpg", f"{tmp_path}/2.jpg"]


def test_secrets_in_lists_are_refused_and_not_repeated(bucket, tmp_path):
    (tmp_path / "list.txt").write_text("s3://KEY:SECRET@bucket/a/1.jpg\n")
    with pytest.raises(UserError, match="line 1") as caught:
        plan(str(tmp_path / "list.txt"))
    assert "SECRET" not in str(caught.value)
    (tmp_path / "list.txt").write_text("https://host/1.jpg?sig=SECRET\n")
    with pytest.raises(UserError, match="line 1") as caught:
        plan(str(tmp_path / "list.txt"))
    assert "SECRET" not in str(caught.value)


def test_pictures_are_read_and_what_cannot_be_read_says_why(bucket):
    pixels = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)
    put(bucket, "good.png", data=cv2.imencode(".png", pixels)[1].tobytes())
    put(bucket, "text.jpg", data=b"no picture")
    storage_at(bucket).replace("empty.jpg", b"")
    assert np.array_equal(read_image(f"{bucket}/good.png").pixels, pixels[..., ::-1])
    for name, kind in (("gone.jpg", "missing"), ("text.jpg", "not_an_image"), ("empty.jpg", "empty")):
        with pytest.raises(ItemError) as caught:
            read_image(f"{bucket}/{name}")
        assert caught.value.kind == kind
    with pytest.raises(ItemError, match="at most 10") as caught:
        read_image(f"{bucket}/good.png", ImageLimits(max_file_bytes=10))
    assert caught.value.kind == "too_large"


def test_a_film_in_a_bucket_gives_the_frames_of_the_film_on_disk(bucket, assets):
    storage_at(bucket).replace("films/walkers.mp4", assets.video.read_bytes())
    there = build_plan([f"{bucket}/films"], shard_size=64, limit=24)
    here = build_plan([str(assets.video)], shard_size=64, limit=24)
    columns = ["frame_index", "pts", "keyframe_pts", "shard"]
    assert there.table().select(columns) == here.table().select(columns)
    limits = ImageLimits()
    for made in (there, here):
        with ImageFeed(made.items(0)[:5], limits, threads=1, max_ahead=8, max_bytes=1 << 30) as feed:
            frames = [image.pixels for _, image in feed]
        kept = frames if made is there else kept  # noqa: F821
    assert all(np.array_equal(first, second) for first, second in zip(kept, frames, strict=True))


def test_copies_of_films_stay_within_their_bound(bucket, monkeypatch):
    from annotator.media import remote

    monkeypatch.setattr(remote, "_copies", remote._Copies())
    monkeypatch.setattr(remote, "MOST_BYTES", 25)
    for name in ("1", "2", "3"):
        put(bucket, name, data=name.encode() * 10)
        with local_copy(f"{bucket}/{name}") as path, Path(path).open("rb") as file:
            assert file.read() == name.encode() * 10
    assert list(remote._copies._files) == [f"{bucket}/2", f"{bucket}/3"]
    with pytest.raises(ItemError) as caught, local_copy(f"{bucket}/gone"):
        pass
    assert caught.value.kind == "missing"
