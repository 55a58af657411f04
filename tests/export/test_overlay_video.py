"""The film with its people drawn in: the source's times and shape, one colour and number a track."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from annotator.cli.export import export
from annotator.config import RunConfig
from annotator.errors import ItemError, UserError
from annotator.export.overlay_video import track_colour, write_overlay_video
from annotator.people import Poses
from annotator.skeletons import COCO_17
from annotator.sources.plan import build_plan
from annotator.store import run_info
from annotator.store.commit import ShardWriter
from annotator.store.leftovers import sweep
from annotator.store.plan import write_plan
from annotator.store.reader import Run
from annotator.store.rows import RowBuilder
from annotator.store.schema import ModelRecord, Provenance
from annotator.store.visibility import ScoreThresholds
from annotator.tracks import layer
from annotator.tracks.layer import follow_run
from annotator.tracks.smoothed import SmoothedRun

WIDTH, HEIGHT, FRAMES = 161, 120, 30
# Hundredths of a second: the rate varies.
PTS = np.cumsum(np.random.default_rng(0).integers(4, 12, FRAMES)).tolist()


class Died(BaseException):
    """What nobody catches."""


def write_grey(path: Path, pts: Sequence[int] = PTS) -> str:
    """A film of grey frames at some times, with an odd width once it is turned upright."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=15)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        stream.codec_context.time_base = Fraction(1, 100)
        for moment in pts:
            frame = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


def poses(frame: int) -> Poses:
    """Two people: one walks right, and below one of whom the detector is not sure."""
    bboxes = np.array([[10 + 2 * frame, 20, 30, 80], [90, 60, 20, 40]], float)
    along = np.linspace(0.1, 0.9, 17)[None, :, None]
    return Poses(
        bboxes=bboxes,
        bbox_scores=np.array([0.9, 0.15], np.float32),
        keypoints=(bboxes[:, None, :2] + along * bboxes[:, None, 2:]).astype(np.float32),
        keypoint_scores=np.full((2, 17), 0.9, np.float32),
        scores=np.array([0.8, 0.1], np.float32),
    )


@pytest.fixture
def run(tmp_path) -> Run:
    return annotated(tmp_path / "run", [write_grey(tmp_path / "grey.mkv")])


def annotated(path: Path, sources: list[str], shards: int = 99, failed: Collection[int] = ()) -> Run:
    """A run of films with the people of `poses` in all frames of the first shards, but for `failed` items."""
    plan = build_plan(sources, shard_size=8)
    config = RunConfig(inputs=tuple(sources), out=str(path), shard_size=8)
    provenance = Provenance(
        ModelRecord("p", "ab" * 32, "p.pth", (192, 256)), None, None, config.sha256(), plan.sha256
    )
    settings = config.model_dump(mode="json")
    run_info.create(path, run_info.RunInfo(settings, provenance, len(plan), len(plan.shards)))
    write_plan(plan, path)
    for shard in plan.shards[:shards]:
        rows = RowBuilder(COCO_17, ScoreThresholds(), provenance)
        for item in plan.items(shard):
            if item.frame_index is None or item.index in failed:
                rows.add(item, (WIDTH, HEIGHT), ItemError("open", "corrupt", "no video stream"))
            else:
                rows.add(item, (WIDTH, HEIGHT), poses(item.frame_index))
        ShardWriter(path, shard).commit(*rows.tables(), {})
    if len(plan.shards) <= shards:
        follow_run(Run(path))
        sweep(path)
    return Run(path)


def decoded(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [frame.to_ndarray(format="rgb24") for frame in frames], np.array(
            [frame.time for frame in frames]
        )


def test_every_frame_at_its_time_with_whom_was_followed(run, tmp_path):
    path = tmp_path / "overlay.mp4"
    written = write_overlay_video(run, path)
    assert (written.images, written.people) == (FRAMES, FRAMES)
    frames, times = decoded(path)
    assert len(frames) == FRAMES
    np.testing.assert_allclose(times - times[0], (np.array(PTS) - PTS[0]) / 100, atol=0.002)
    assert {frame.shape for frame in frames} == {(HEIGHT, WIDTH + 1, 3)}
    for number, frame in enumerate(frames):
        off = np.abs(frame.astype(int) - 90).max(axis=-1) > 60
        x = 10 + 2 * number
        assert off[15:105, x : x + 30].mean() > 0.05
        # Nobody is drawn whom no track claims, and nothing far from anybody.
        assert off[65:95, x + 34 : WIDTH].mean() < 0.02
    label = frames[0][4:18, 12:20].reshape(-1, 3).astype(int)
    assert np.abs(label - track_colour(1)).max(axis=-1).min() < 40


def test_joined_recordings_last_as_long_as_they_did(tmp_path):
    """Their frames are counted: what the plan calls pts is no time stamp of the film."""
    path, to = tmp_path / "joined.ts", tmp_path / "overlay.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, HEIGHT, "yuv420p"
        for _ in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((HEIGHT, 160, 3), 90, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.write_bytes(2 * path.read_bytes())
    run = annotated(tmp_path / "run", [str(path)])
    assert [item.pts for item in run.plan.items(0)] == list(range(len(run.plan)))
    assert write_overlay_video(run, to).images == len(run.plan) > 20
    np.testing.assert_allclose(decoded(to)[1], np.arange(len(run.plan)) / 10, atol=0.002)


def test_min_score_and_smoothing(run, tmp_path):
    assert write_overlay_video(run, tmp_path / "a.mp4", min_score=0.85).people == 0
    assert write_overlay_video(SmoothedRun(run), tmp_path / "b.mp4").people == FRAMES


def test_a_film_that_is_gone_is_said_and_nothing_is_left_behind(run, tmp_path):
    (tmp_path / "grey.mkv").unlink()
    with pytest.raises(UserError, match=r"grey\.mkv"):
        write_overlay_video(run, tmp_path / "c.mp4")
    assert not list(tmp_path.glob("*c.mp4*"))


def test_a_video_that_could_not_be_read_is_passed_over(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    run = annotated(tmp_path / "run", [str(broken), write_grey(tmp_path / "grey.mkv")])
    written = write_overlay_video(SmoothedRun(run), tmp_path / "overlay.mp4")
    assert (written.images, written.people, written.errors) == (FRAMES, FRAMES, 1)
    assert len(decoded(tmp_path / "overlay.mp4")[0]) == FRAMES


def test_frames_without_a_result_are_left_out(tmp_path, capsys):
    """Drawn without people, they would say that nobody is there."""
    failed, to = {0, 3, 4, FRAMES - 1}, tmp_path / "overlay.mp4"
    run = annotated(tmp_path / "run", [write_grey(tmp_path / "grey.mkv")], failed=failed)
    export(run.place, str(to), "overlay-video", min_score=0.5)
    said = capsys.readouterr().out
    assert "4 images without a result are left out" in said and f"{FRAMES - 4} people below" in said
    times = decoded(to)[1]
    kept = [pts for number, pts in enumerate(PTS) if number not in failed]
    np.testing.assert_allclose(times - times[0], (np.array(kept) - kept[0]) / 100, atol=0.002)


def test_a_film_without_any_result_is_not_written_and_said(tmp_path):
    films = [write_grey(tmp_path / "grey.mkv"), write_grey(tmp_path / "lost.mkv")]
    run = annotated(tmp_path / "run", films, failed=range(FRAMES, 2 * FRAMES))
    written = write_overlay_video(run, tmp_path / "films")
    assert (written.images, written.errors) == (FRAMES, FRAMES)
    assert [path.name for path in (tmp_path / "films").iterdir()] == ["grey.mp4"]


def test_frames_that_cannot_be_read_any_more_are_left_out_and_said(run, tmp_path, capsys):
    """They have a result, so that no retry brings them back."""
    write_grey(tmp_path / "grey.mkv", PTS[:20])
    to = tmp_path / "overlay.mp4"
    export(run.place, str(to), "overlay-video", min_score=0.5)
    said = capsys.readouterr().out
    assert "20 images, 20 people" in said and "10 frames with a result are left out" in said
    assert "20 people below" in said and "retry" not in said
    assert len(decoded(to)[0]) == 20


def test_a_film_that_is_another_now_is_said(run, tmp_path):
    write_grey(tmp_path / "grey.mkv", [moment + 7000 for moment in PTS])
    with pytest.raises(UserError, match=r"grey\.mkv: no frame with a result can be read any more"):
        write_overlay_video(run, tmp_path / "overlay.mp4")
    assert not list(tmp_path.glob("*overlay*"))


def test_frames_that_are_still_to_come_are_left_out_and_said(tmp_path, capsys):
    films = [write_grey(tmp_path / "grey.mkv"), write_grey(tmp_path / "later.mkv")]
    run = annotated(tmp_path / "run", films, shards=2)
    export(run.place, str(tmp_path / "films"), "overlay-video")
    said = capsys.readouterr().out
    assert "24 images, 24 people" in said and "not finished: 4 of its 6 shards" in said
    assert [path.name for path in (tmp_path / "films").iterdir()] == ["grey.mp4"]
    assert len(decoded(tmp_path / "films" / "grey.mp4")[0]) == 24


def test_people_of_a_film_that_was_not_followed_yet_are_drawn(tmp_path, monkeypatch):
    """By their boxes, while those of another film have tracks."""

    def dying(run, records, film, links):
        if film.uri.endswith("later.mkv"):
            raise Died
        return follow(run, records, film, links)

    follow = layer._follow
    monkeypatch.setattr(layer, "_follow", dying)
    films = [write_grey(tmp_path / "grey.mkv"), write_grey(tmp_path / "later.mkv")]
    with pytest.raises(Died):
        annotated(tmp_path / "run", films)
    written = write_overlay_video(Run(tmp_path / "run"), tmp_path / "films")
    assert (written.images, written.people) == (2 * FRAMES, 2 * FRAMES)


def test_a_film_of_which_nothing_is_known_is_not_written(tmp_path):
    run = annotated(tmp_path / "run", [write_grey(tmp_path / "grey.mkv")], failed=range(FRAMES))
    with pytest.raises(UserError, match="no frame of its films has a result"):
        write_overlay_video(run, tmp_path / "overlay.mp4")


def test_pictures_are_no_film(make_run, picture, people, tmp_path):
    made = make_run([picture("a.jpg", people([[1, 2, 30, 40]]))]).commit()
    with pytest.raises(UserError, match="no videos"):
        write_overlay_video(made.open(), tmp_path / "d.mp4")


def test_colours_of_neighbours_differ():
    colours = np.array([track_colour(n) for n in range(1, 9)], int)
    assert min(np.abs(a - b).sum() for n, a in enumerate(colours) for b in colours[n + 1 :]) > 60
