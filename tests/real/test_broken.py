"""Broken and odd pictures among good ones: each costs only itself, and the exit code tells."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from annotator.store.reader import Run


@pytest.fixture(scope="module")
def folder(assets, tmp_path_factory):
    """Two photos of one name, one photo in many guises, and files that are no good."""
    root = tmp_path_factory.mktemp("inputs")
    first, second, third = sorted(assets.photos.iterdir())[:3]
    for name, source in (("a/1.jpg", first), ("b/1.jpg", second), ("plain.jpg", third)):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(source, root / name)
    photo = Image.open(third).convert("RGB")
    photo.convert("CMYK").save(root / "cmyk.jpg", quality=95)
    photo.quantize(64).save(root / "palette.png")
    photo.save(root / "animated.gif", save_all=True, append_images=[photo.rotate(90)])
    Image.fromarray(np.array(photo.convert("L")).astype(np.uint16) * 257).save(root / "grey16.png")
    photo.save(root / "lossless.png")
    exif = Image.Exif()
    exif[274] = 6
    photo.rotate(90, expand=True).save(root / "exif6.png", exif=exif)
    Image.new("RGB", (1, 1)).save(root / "one.png")
    Image.new("1", (30_000, 30_000)).save(root / "bomb.png")
    (root / "truncated.jpg").write_bytes(third.read_bytes()[:20_000])
    (root / "empty.jpg").touch()
    (root / "text.jpg").write_text("not a picture")
    (root / "dangling.jpg").symlink_to(root / "nowhere.jpg")
    (root / "list.txt").write_text("plain.jpg\nmissing.jpg\n")
    return root


@pytest.fixture(scope="module")
def broken_run(cli, folder, models, tmp_path_factory):
    run = tmp_path_factory.mktemp("broken") / "run"
    done = cli(
        "run",
        folder,
        folder / "list.txt",
        "--out",
        run,
        *models,
        "--executor",
        "inline",
        "--json",
        exit_code=3,
    )
    return run, json.loads(done.stdout)


@pytest.fixture(scope="module")
def rows(broken_run):
    return {row["file_name"]: row for batch in Run(broken_run[0]).images() for row in batch.to_pylist()}


def test_every_input_has_one_row(rows, folder):
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir() and p.suffix != ".txt"}
    assert {name for name in rows if name != "missing.jpg"} == files
    assert "missing.jpg" in rows


@pytest.mark.parametrize(
    ("name", "stage", "kind"),
    [
        ("truncated.jpg", "decode", "truncated"),
        ("empty.jpg", "read", "empty"),
        ("text.jpg", "decode", "not_an_image"),
        ("bomb.png", "decode", "too_large"),
        ("dangling.jpg", "read", "missing"),
        ("missing.jpg", "read", "missing"),
    ],
)
def test_what_cannot_be_read_says_why(rows, name, stage, kind):
    row = rows[name]
    assert (row["status"], row["error_stage"], row["error_kind"]) == ("error", stage, kind)
    assert row["error_message"]
    assert row["num_instances"] == 0


@pytest.mark.parametrize(
    "name",
    ["a/1.jpg", "b/1.jpg", "plain.jpg", "cmyk.jpg", "palette.png", "animated.gif", "grey16.png", "one.png"],
)
def test_what_can_be_read_is_annotated(rows, name):
    assert rows[name]["status"] in ("ok", "empty")
    assert rows[name]["error_stage"] is None


def test_a_rotated_photo_comes_out_upright(broken_run, rows):
    people = {name: [] for name in rows}
    names = {row["image_id"]: name for name, row in rows.items()}
    for batch in Run(broken_run[0]).instances():
        for row in batch.to_pylist():
            people[names[row["image_id"]]].append(row)
    upright, turned = rows["lossless.png"], rows["exif6.png"]
    assert (turned["width"], turned["height"]) == (upright["width"], upright["height"])
    assert people["lossless.png"]
    for a, b in zip(people["lossless.png"], people["exif6.png"], strict=True):
        np.testing.assert_allclose(a["keypoints"], b["keypoints"], atol=0.01)


def test_the_summary_counts_them(broken_run):
    _, report = broken_run
    assert report["totals"]["error"] == 6
    assert report["totals"]["errors"]["read/missing"] == 2
    assert report["exit_code"] == 3


def test_running_again_finds_nothing_to_do(cli, broken_run, folder, models):
    again = cli(
        "run", folder, folder / "list.txt", "--out", broken_run[0], *models, "--executor", "inline", "--json"
    )
    assert json.loads(again.stdout)["images"] == 0


def test_another_setting_is_refused_by_name(cli, broken_run, folder, models):
    refused = cli(
        "run", folder, folder / "list.txt", "--out", broken_run[0], *models, "--flip", exit_code=2
    )  # fmt: skip
    assert "flip: None before, True now" in refused.stderr


def test_other_inputs_are_refused(cli, broken_run, folder, models):
    refused = cli("run", folder, "--out", broken_run[0], *models, exit_code=2)
    assert "inputs" in refused.stderr
