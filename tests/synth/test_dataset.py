"""Files: the same for any slicing and any number of processes; films keep identities; load is lazy."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from annotator.cli.synth import synth
from annotator.errors import UserError
from annotator.evaluate.evaluation import evaluate
from annotator.sources.plan import build_plan
from annotator.synth import generate_image, stream
from annotator.synth.dataset import write_images
from annotator.synth.film import Film, frames, sample_film, write_films
from annotator.synth.spread import over_processes
from tests.conftest import MadeRun, Picture

SIZE = (96, 72)


def test_a_picture_depends_on_seed_and_index_only():
    generate_image(9, 0, SIZE)
    later, people = generate_image(9, 4, SIZE)
    again, same = generate_image(9, 4, SIZE)
    assert np.array_equal(later, again) and people == same
    assert not np.array_equal(later, generate_image(10, 4, SIZE)[0])
    assert not np.array_equal(later, generate_image(9, 5, SIZE)[0])


def test_files_do_not_depend_on_slices_or_processes(tmp_path):
    whole = write_images(tmp_path / "whole", 9, 5, SIZE, spread=over_processes(2))
    # In any order, and one of them twice.
    for start, n in ((3, 6), (0, 3), (3, 2)):
        parts = write_images(tmp_path / "parts", n, 5, SIZE, spread=map, start=start)
    assert parts.read_bytes() == whole.read_bytes()
    for path in sorted((tmp_path / "whole" / "images").iterdir()):
        assert path.read_bytes() == (tmp_path / "parts" / "images" / path.name).read_bytes()


def test_truth_is_not_replaced_by_that_of_other_pictures(tmp_path):
    path = write_images(tmp_path, 1, 5, (64, 48), spread=map)
    made = {file: file.read_bytes() for file in tmp_path.rglob("*.*")}
    with pytest.raises(
        UserError, match=r"is of synthetic people, seed 5, .* folder for .* seed 6, size 64x48"
    ):
        write_images(tmp_path, 1, 6, (64, 48), spread=map)
    with pytest.raises(UserError, match=r"size 64x48; .* size 96x72"):
        write_images(tmp_path, 1, 5, SIZE, spread=map)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.*")} == made
    for text in ("{", "[]", '{"info": 3}'):
        path.write_text(text)
        with pytest.raises(UserError, match="cannot be added to"):
            write_images(tmp_path, 1, 5, (64, 48), spread=map)


def test_the_file_is_coco(tmp_path):
    from pycocotools.coco import COCO

    coco = COCO(str(write_images(tmp_path, 4, 5, SIZE, spread=map)))
    assert sorted(coco.imgs) == [0, 1, 2, 3]
    assert len(coco.anns) == len(set(coco.anns)) and coco.anns
    assert all((tmp_path / "images" / image["file_name"]).is_file() for image in coco.imgs.values())
    assert coco.loadCats(1)[0]["keypoints"][9] == "left_wrist"
    for annotation in coco.anns.values():
        assert coco.annToMask(annotation).sum() == annotation["area"]


def test_progress_counts_every_picture(tmp_path):
    counted: list[int] = []
    write_images(tmp_path, 9, 5, (64, 48), spread=map, progress=counted.append)
    assert sum(counted) == 9


def crossing() -> tuple[Film, list[float]]:
    film = sample_film(3, 0, (160, 120))
    return film, [number / 2.5 for number in range(12)]


def test_identities_survive_a_crossing():
    film, times = crossing()
    tracks: dict[int, list[tuple[float, np.ndarray]]] = {}
    for number in range(len(times)):
        for person in film.frame(number, 2.5)[1]:
            keypoints = np.array(person["keypoints"]).reshape(17, 3)
            tracks.setdefault(person["track_id"], []).append((times[number], keypoints))
    assert len(tracks) == len(film.motions)
    # Walkers 1 and 2 pass each other: they change sides, and each keeps its own number and pace.
    first, second = (dict(tracks[i]) for i in (1, 2))
    hips = {
        k: [(t, p[11:13, 0].mean()) for t, p in track.items() if (p[11:13, 2] > 0).all()]
        for k, track in enumerate((first, second))
    }
    shared = sorted({t for t, _ in hips[0]} & {t for t, _ in hips[1]})
    gap = [dict(hips[0])[t] - dict(hips[1])[t] for t in shared]
    assert gap[0] * gap[-1] < 0
    for path in hips.values():
        steps = [abs(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(path)]
        assert max(steps) < 160 / 2  # nobody jumps half the picture in a second
    # The truth follows the people the film itself knows.
    for i, motion in enumerate(film.motions[:2]):
        for t, keypoints in tracks[i + 1]:
            expected = film.camera.project(motion.at(t).keypoints)
            seen = keypoints[:, 2] > 0
            assert keypoints[seen, :2] == pytest.approx(expected[seen, :2], abs=0.02)


def test_a_film_on_disk_has_the_frames_its_truth_names(tmp_path):
    import av

    path = write_films(tmp_path, 1, 3, (96, 64), seconds=1.0, fps=5.0, spread=map, start=2)
    coco = json.loads(path.read_text())
    (video,) = coco["videos"]
    assert (video["width"], video["height"], video["fps"], video["length"]) == (96, 64, 5.0, 5)
    with av.open(str(tmp_path / "videos" / video["file_name"])) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 5
    assert len(decoded) == 5 == len(coco["images"])
    assert [image["frame_id"] for image in coco["images"]] == [0, 1, 2, 3, 4]
    made = [pixels for pixels, _ in frames(3, 2, (96, 64), 1.0, 5.0)]
    for a, b in zip(decoded, made, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 12
    known = {image["id"] for image in coco["images"]}
    assert coco["annotations"] and all(a["image_id"] in known for a in coco["annotations"])
    assert len({a["id"] for a in coco["annotations"]}) == len(coco["annotations"])


def test_a_run_of_a_film_is_evaluated_against_its_truth(tmp_path, people):
    truth = write_films(tmp_path, 2, 3, (160, 120), seconds=1.0, fps=4.0, spread=map, quick=True)
    coco = json.loads(truth.read_text())
    plan = build_plan([str(tmp_path / "videos")], shard_size=4)
    names = [item.file_name for shard in plan.shards for item in plan.items(shard)]
    pictures = []
    for name, image in zip(names, coco["images"], strict=True):
        here = [one for one in coco["annotations"] if one["image_id"] == image["id"]]
        keypoints = np.array([one["keypoints"] for one in here]).reshape(-1, 17, 3)[..., :2]
        pictures.append(Picture(name, people([one["bbox"] for one in here], keypoints), size=(160, 120)))
    found = evaluate(MadeRun(tmp_path / "run", pictures, 4).commit().open(), truth)
    assert (found["matching"]["by"], found["matching"]["matched"]) == ("file_name", 8)
    assert found["keypoints"]["AP"] == pytest.approx(1)


def test_an_odd_film_is_refused(tmp_path):
    with pytest.raises(UserError, match="even"):
        write_films(tmp_path, 1, 0, (97, 64))


def test_quick_pictures_keep_the_truth():
    from pycocotools import mask as rle

    seen = 0
    for index, pixels, people in stream(4, 100, 60, (160, 120), quick=True):
        assert 100 <= index < 160 and pixels.shape == (120, 160, 3)
        for annotation in people:
            seen += 1
            mask = rle.decode(annotation["segmentation"]).astype(bool)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            x, y, w, h = annotation["bbox"]
            assert (x, y, x + w, y + h) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            keypoints = np.array(annotation["keypoints"]).reshape(17, 3)
            visible = keypoints[keypoints[:, 2] == 2]
            inside = [mask[max(round(b) - 2, 0) : round(b) + 3, max(round(a) - 2, 0) : round(a) + 3].any()
                      for a, b, _ in visible]  # fmt: skip
            assert np.mean(inside or [1]) > 0.9
    assert seen > 40


def test_quick_people_in_front_hide_those_behind():
    from annotator.synth.quick import compose

    backdrop = np.zeros((120, 160, 3), np.uint8)
    (alone,) = compose(backdrop, [(0, 40, 10, 100, False)])[1]
    assert compose(backdrop, [(0, 40, 10, 100, False), (0, 40, 10, 100, False)])[1][0].person == 1
    behind, front = compose(backdrop, [(0, 40, 10, 100, False), (1, 50, 10, 100, False)])[1]
    assert behind.area < alone.area and not (behind.mask & front.mask).any()
    mirrored = compose(backdrop, [(0, 40, 10, 100, True)])[1][0]
    assert mirrored.bbox[2:] == alone.bbox[2:]
    # A mirrored left shoulder is a right one.
    expected = 2 * 40 + alone.bbox[2] - 1 - alone.keypoints[5, 0]
    assert mirrored.keypoints[6, 0] == pytest.approx(expected, abs=1.5)


def test_streams_are_lazy():
    endless = stream(4, 7, None, (64, 48), quick=True)
    assert [index for index, _, _ in itertools.islice(endless, 3)] == [7, 8, 9]
    long_film = frames(1, 0, (64, 48), seconds=3600.0, fps=25.0, quick=True)
    pixels, people = next(long_film)
    assert pixels.shape == (48, 64, 3) and all("track_id" in person for person in people)


def test_the_verb(tmp_path, capsys):
    synth(tmp_path, images=2, videos=1, seed=1, size="64x48", workers=1, seconds=0.5, fps=4)
    assert "pictures: 2" in capsys.readouterr().out
    assert len(list((tmp_path / "images").iterdir())) == 2
    assert len(list((tmp_path / "videos").iterdir())) == 1
    with pytest.raises(UserError, match="WIDTHxHEIGHT"):
        synth(tmp_path, images=1, size="big")
    with pytest.raises(UserError, match="nothing to make"):
        synth(tmp_path)


def test_programs_are_told_what_was_made(tmp_path, capsys):
    synth(tmp_path, images=2, seed=1, size="64x48", workers=1, as_json=True)
    out, err = capsys.readouterr()
    truth = str(tmp_path / "person_keypoints.json")
    assert json.loads(out) == {"pictures": {"count": 2, "truth": truth}, "films": None}
    assert "pictures: 2" in err


def test_ray_gives_the_same_files_and_leaves_no_token_behind(tmp_path):
    here = write_images(tmp_path / "here", 9, 6, (64, 48), map)
    home, there = tmp_path / "home", tmp_path / "there"
    home.mkdir()
    command = [sys.executable, "-m", "annotator.cli", "synth", str(there), "--ray"]
    command += ["--images", "9", "--seed", "6", "--size", "64x48"]
    done = subprocess.run(
        command, env=os.environ | {"HOME": str(home)}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert (there / here.name).read_bytes() == here.read_bytes()
    for path in (tmp_path / "here" / "images").iterdir():
        assert (there / "images" / path.name).read_bytes() == path.read_bytes()
    assert not (home / ".ray").exists()
