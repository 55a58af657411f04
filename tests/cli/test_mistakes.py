"""The user's mistakes: one clear line, exit code 2, no traceback, and nothing heavy before it is needed."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from annotator import cli


@pytest.fixture
def call(monkeypatch, capsys):
    """`annotator ...` in this process: (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["annotator", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            cli.main()
        out, err = capsys.readouterr()
        code = done.value.code
        return code if isinstance(code, int) else 0, out, err

    return run


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(np.full((32, 32, 3), 128, np.uint8)).save(folder / "1.png")
    return folder


def mistakes(tmp_path, photos):
    config = tmp_path / "broken.py"
    config.write_text("model = dict(\n")
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    file = tmp_path / "file"
    file.touch()
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"no weights")
    boxes = tmp_path / "boxes.json"
    boxes.write_text("[1, 2")
    out = tmp_path / "run"
    return {
        "unknown model": (["run", photos, "--out", out, "--pose", "vitpose-hh"], "vitpose-h"),
        "config that is no Python": (["run", photos, "--out", out, "--pose", config], "broken.py"),
        "config without a model": (["run", photos, "--out", out, "--pose", empty], "empty.py"),
        "config that is missing": (["run", photos, "--out", out, "--pose", tmp_path / "no.py"], "no.py"),
        "weights that are missing": (
            ["run", photos, "--out", out, "--pose", "rtmpose-t", "--pose-weights", "no.pth"],
            "no.pth",
        ),
        "out is a file": (["run", photos, "--out", file], "file"),
        "out is in a file": (["run", photos, "--out", file / "run"], "cannot be written"),
        "out holds something else": (["run", photos, "--out", photos], "other files"),
        "input that is missing": (["run", tmp_path / "no", "--out", out], "no"),
        "folder without pictures": (["run", nothing, "--out", out], "nothing"),
        "boxes that are no JSON": (["run", photos, "--out", out, "--boxes", boxes], "boxes.json"),
        "no input": (["run", "--out", out], "inputs"),
        "no out": (["run", photos], "out"),
        "unknown setting": (["run", photos, "--out", out, "--set", "colour=red"], "colour"),
        "a run that is none": (["status", nothing], "run.json"),
        "export of no run": (["export", nothing, "--to", tmp_path / "x.json"], "run.json"),
        "eval without a run": (["eval", tmp_path / "no", "--gt", boxes], "run.json"),
        "unknown option": (["run", photos, "--colour"], "--colour"),
        "unknown verb": (["dance"], "dance"),
        "model nobody knows": (["models", "show", "vitpose-hh"], "vitpose-h"),
    }


def test_each_mistake_is_one_clear_line(call, tmp_path, photos):
    for name, (arguments, said) in mistakes(tmp_path, photos).items():
        code, out, err = call(*arguments)
        assert code == 2, f"{name}: exit {code}: {err}"
        assert said in err, f"{name}: {err}"
        assert "Traceback" not in err + out, name
        assert out == "", f"{name}: {out}"


def test_figures_that_cannot_be_written_are_shown_all_the_same(call, make_run, picture, people, tmp_path):
    run = make_run([picture("a.jpg", people([[10, 10, 50, 90]]))]).commit()
    gt = tmp_path / "gt.json"
    joints = [30, 50, 2] * 17
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 90], "keypoints": joints}
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [person],
        "categories": [{"id": 1, "name": "person"}],
    }
    gt.write_text(json.dumps(document))
    code, out, err = call("eval", run.path, "--gt", gt, "--json", tmp_path / "no" / "figures.json")
    assert code == 2 and "1 images" in out
    assert "cannot write --json" in err and "figures.json: No such file" in err and "Traceback" not in err


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['annotator', '--help']\n"
        "from annotator.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mmpose', 'mmdet', 'mmengine', 'ray', 'fiftyone', 'pyarrow', 'cv2', 'numpy'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout
    assert "annotate" in done.stdout.lower()


def test_a_disk_that_does_not_answer_is_one_line_too(call, monkeypatch, tmp_path):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error", f"{tmp_path}/plan/items.parquet")

    monkeypatch.setattr("annotator.store.verify.verify", broken)
    code, out, err = call("verify", tmp_path)
    assert (code, out) == (1, "")
    assert (
        err
        == f"annotator: {tmp_path}/plan/items.parquet: Input/output error; mend that, then run this again\n"
    )
