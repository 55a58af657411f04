"""Videos in a plan: frames as items, shards of whole groups of pictures, samples, films that are broken."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from annotator.errors import UserError
from annotator.media import pulse
from annotator.media.decoding import FrameReader
from annotator.media.feed import ImageFeed
from annotator.sources.listing import image_id_of
from annotator.sources.plan import build_plan
from annotator.sources.sampling import Sampling
from annotator.sources.videos import LONGEST_GROUP
from annotator.store.plan import read_plan, write_plan

RATE, GROUP = 25, 10


def write_film(path: Path, frames: int = 60, group: int = GROUP, pts: list[int] | None = None) -> Path:
    """Grey frames, each a little lighter than the one before; pts in thousandths of a second."""
    with av.open(str(path), "w") as container:
        params = f"keyint={group}:min-keyint={group}:scenecut=0:bframes=2:open-gop=1"
        stream = container.add_stream("libx264", rate=RATE, options={"x264-params": params})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(frames):
            pixels = np.full((48, 64, 3), 20 + 2 * number % 200, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = pts[number] if pts else number * 40, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def film(tmp_path_factory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4")


def items(plan) -> list:
    return [item for shard in plan.shards for item in plan.items(shard)]


def chosen(path: Path, **sampling) -> list[int]:
    made = build_plan([str(path)], shard_size=7, sampling=Sampling(**sampling))
    return [item.frame_index for item in items(made)]


def test_each_frame_is_an_item(film):
    made = build_plan([str(film)], shard_size=256)
    found = items(made)
    assert len(made) == len(found) == 60
    assert [item.frame_index for item in found] == list(range(60))
    assert found[12].uri == f"{film}#00000012"
    assert found[12].file_name == "film.mp4#00000012"
    assert found[12].video_uri == str(film)
    assert found[12].time == pytest.approx(0.48)
    assert found[12].image_id == image_id_of(f"{film}#{found[12].pts}")
    assert len({item.image_id for item in found}) == 60
    assert found[12].keyframe_pts == found[10].pts


def test_shards_end_with_groups_of_pictures(film):
    made = build_plan([str(film)], shard_size=25)
    assert made.starts == (0, 20, 40, 60)
    assert [item.shard for item in items(made)] == [0] * 20 + [1] * 20 + [2] * 20
    assert build_plan([str(film)], shard_size=6).starts == (0, 10, 20, 30, 40, 50, 60)
    # A group as large as many shards is cut.
    parts = [start + part for start in range(0, 60, 10) for part in (0, LONGEST_GROUP * 2)]
    assert build_plan([str(film)], shard_size=2).starts == (*parts, 60)
    assert build_plan([str(film)], shard_size=1000).starts == (0, 60)


def test_a_counted_film_is_decoded_a_few_times_in_all(tmp_path):
    path = write_film(tmp_path / "film.avi", frames=100)
    made = build_plan([str(path)], shard_size=2)
    assert made.starts == (*range(0, 100, 13), 100)
    assert {item.keyframe_pts for item in items(made)} == {None}
    start = pulse.beats()
    for shard in made.shards:
        with FrameReader(str(path)) as reader:
            assert len([reader.read(item) for item in made.items(shard)]) <= 13
    assert pulse.beats() - start < 5.5 * 100


@pytest.mark.parametrize("shard_size", [1, 6, 25, 256])
def test_shards_read_apart_give_every_frame_once(film, shard_size):
    with av.open(str(film)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    made = build_plan([str(film)], shard_size=shard_size)
    found = []
    for shard in made.shards:
        with FrameReader(str(film)) as reader:
            found += [reader.read(item).pixels for item in made.items(shard)]
    assert len(found) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_written_and_read_again_it_is_the_same(film, touch, tmp_path):
    folder = touch("in/a.jpg", "in/z.jpg")
    (folder / "in" / "m.mp4").write_bytes(film.read_bytes())
    (folder / "in" / "broken.mkv").write_bytes(b"no film")
    made = build_plan([str(folder / "in")], shard_size=8)
    write_plan(made, tmp_path / "run")
    again = read_plan(tmp_path / "run")
    assert again.table().equals(made.table())
    assert items(again) == items(made)
    assert (again.sha256, again.starts, again.shards) == (made.sha256, made.starts, made.shards)
    names = [item.file_name for item in items(made)]
    assert names == ["a.jpg", "broken.mkv", *(f"m.mp4#{n:08d}" for n in range(60)), "z.jpg"]
    assert [item.is_frame for item in items(made)] == [False, False, *[True] * 60, False]
    broken = items(made)[1]
    assert broken.video_uri == broken.uri == str(folder / "in" / "broken.mkv")
    assert (broken.frame_index, broken.pts, broken.time) == (None, None, None)


def test_hashes_tell_samples_apart(film):
    hashes = {
        build_plan([str(film)], shard_size=size, sampling=sampling).sha256
        for size in (8, 16)
        for sampling in (Sampling(), Sampling(every=2), Sampling(start=1), Sampling(keyframes_only=True))
    }
    assert len(hashes) == 8


def test_samples(film):
    assert chosen(film) == list(range(60))
    assert chosen(film, every=7) == list(range(0, 60, 7))
    assert chosen(film, start=0.4, end=0.8) == list(range(10, 20))
    assert chosen(film, start=0.4, end=0.8, every=4) == [10, 14, 18]
    assert chosen(film, keyframes_only=True) == list(range(0, 60, GROUP))
    assert chosen(film, keyframes_only=True, every=2) == [0, 20, 40]
    assert chosen(film, fps=5) == list(range(0, 60, 5))
    assert chosen(film, fps=12.5) == list(range(0, 60, 2))
    assert chosen(film, fps=100) == list(range(60))


def test_a_sample_by_rate_is_even_in_time(tmp_path):
    pts = [0, 40, 80, 1000, 1010, 1020, 1900, 2000, 2040]
    path = write_film(tmp_path / "uneven.mkv", len(pts), pts=pts)
    assert chosen(path, fps=1) == [0, 3, 7]


def test_a_limit_counts_frames(film, touch):
    folder = touch("in/a.jpg", "in/z.jpg")
    (folder / "in" / "m.mp4").write_bytes(film.read_bytes())
    made = build_plan([str(folder / "in")], shard_size=4, limit=5)
    assert [item.file_name for item in items(made)] == ["a.jpg", *(f"m.mp4#{n:08d}" for n in range(4))]
    assert made.starts == (0, 1, 5)
    made = build_plan([str(folder / "in")], shard_size=8, limit=62)
    assert items(made)[-1].file_name == "z.jpg"


def test_videos_are_found_by_every_kind_of_input(film, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text(f"{film}\n")
    for text in (str(film), str(film.parent), str(film.parent / "*"), str(listed)):
        assert len(build_plan([text], shard_size=100)) == 60, text
    again = build_plan([str(film), str(film.parent)], shard_size=100)
    assert (len(again), again.duplicates) == (60, 1)


@pytest.mark.parametrize("pattern", ["", "**", "**/*", "*"])
def test_typescript_is_no_video(pattern, tmp_path):
    (tmp_path / "code.ts").write_text("export const answer = 42\n")
    write_film(tmp_path / "film.ts", 12)
    made = build_plan([str(tmp_path / pattern)], shard_size=100)
    assert {item.video_uri for item in items(made)} == {str(tmp_path / "film.ts")}
    assert made.notes == ("skipped in folders: 1 .ts",)


def test_a_pattern_that_spells_ts_means_every_such_file(tmp_path):
    (tmp_path / "code.ts").write_text("export const answer = 42\n")
    made = build_plan([str(tmp_path / "*.ts")], shard_size=100)
    assert [item.file_name for item in items(made)] == ["code.ts"]


def test_a_stream_that_begins_within_a_packet_is_a_video_and_text_of_any_kind_is_not(tmp_path):
    whole = write_film(tmp_path / "whole.ts", 12).read_bytes()
    (tmp_path / "whole.ts").unlink()
    for start in (1, 3, 100, 187):
        (tmp_path / f"{start}.ts").write_bytes(whole[start:])
    (tmp_path / "damaged.ts").write_bytes(bytes(3000) + whole[3000:])
    text = 'export const name = "Grüße" // GGG\n' * 99
    for encoding in ("utf-8", "latin-1", "utf-16"):
        (tmp_path / f"{encoding}.ts").write_text(text, encoding=encoding)
    (tmp_path / "short.ts").write_text("G")
    made = build_plan([str(tmp_path)], shard_size=100)
    films = {str(tmp_path / f"{name}.ts") for name in (1, 3, 100, 187, "damaged")}
    assert {item.video_uri for item in items(made)} == films
    assert made.notes[-1] == "skipped in folders: 4 .ts"


def test_a_film_that_is_cut_off_is_told(tmp_path):
    whole = write_film(tmp_path / "whole.mkv", 200).read_bytes()
    (tmp_path / "whole.mkv").unlink()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    made = build_plan([str(tmp_path)], shard_size=100)
    assert 10 < len(made) < 190
    assert any("cut.mkv ends" in note and "sooner than its header says" in note for note in made.notes)


def test_what_is_lost_of_a_film_is_an_item_behind_its_frames_and_an_error_of_the_run(tmp_path):
    whole = write_film(tmp_path / "whole.mkv", 200).read_bytes()
    path = tmp_path / "films" / "cut.mkv"
    path.parent.mkdir()
    path.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "whole.mkv").rename(path.with_name("whole.mkv"))
    made = build_plan([str(path.parent)], shard_size=30)
    write_plan(made, tmp_path / "run")
    read = read_plan(tmp_path / "run")
    assert read.sha256 == made.sha256
    found = items(read)
    assert found == items(made)
    assert len({item.image_id for item in found}) == len(found)
    (lost,) = [item for item in found if not item.is_frame]
    before = found[lost.index - 1]
    assert (before.video_uri, found[lost.index + 1].frame_index) == (str(path), 0)
    assert lost.time == pytest.approx(before.time + 0.04, abs=0.01)
    # What the container says of its length differs by a tick between releases of FFmpeg.
    begin, end = (float(second) for second in lost.file_name.removeprefix("cut.mkv#lost-").split("-"))
    assert (begin, end) == (pytest.approx(lost.time, abs=0.001), pytest.approx(8, abs=0.002))
    assert (lost.pts, lost.keyframe_pts, lost.shard) == (None, None, before.shard)
    with ImageFeed([before, lost]) as feed:
        (_, _), (_, error) = feed
    assert (error.stage, error.kind) == ("decode", "lost_stretch")
    assert f"from {lost.time:.3f} s to {end:.3f} s" in error.message


def test_a_sample_before_the_loss_does_not_name_it(tmp_path):
    whole = write_film(tmp_path / "whole.mkv", 200).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole[: len(whole) // 2])
    for sampling, lost in ((Sampling(end=1.0), 0), (Sampling(start=1.0), 1), (Sampling(every=7), 1)):
        found = items(build_plan([str(path)], shard_size=30, sampling=sampling))
        assert sum(not item.is_frame for item in found) == lost


def test_mistakes_are_named(film, tmp_path):
    with pytest.raises(UserError, match="no frame of the 1 videos is chosen"):
        build_plan([str(film)], shard_size=8, sampling=Sampling(start=99))
    boxes = tmp_path / "boxes.json"
    boxes.write_text('{"images": [], "annotations": []}')
    with pytest.raises(UserError, match=r"--boxes .*film.mp4"):
        build_plan([str(film)], shard_size=8, boxes=str(boxes))
