"""Each format is read back, by a living reader of it where there is one, and compared with the rows."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from annotator.cli.export import export
from annotator.errors import ItemError, UserError
from annotator.export import FORMATS, hugging_face
from annotator.skeletons import COCO_17
from annotator.store.reviews import Review, write_layer
from annotator.uris import to_uri

NAMES = ["a & <b>.jpg", "sub/b.jpg", "empty.jpg", "broken.jpg", "sub/b.png"]
SIZE = (640, 480)


@pytest.fixture
def run(make_run, picture, people, tmp_path):
    """Two people in the first picture, one of them with hidden, unlabelled and outside joints."""
    two = people([[50, 40, 120.5, 240.25], [300, 60, 150, 300]], scores=[0.9, 0.6])
    two.keypoint_scores[0] = 0.9
    two.keypoint_scores[1, 3], two.keypoint_scores[1, 4] = 0.1, 0.01
    two.keypoints[1, 5] = [700.5, 100]
    one = people([[-10, 400, 100, 120]], scores=[0.3])
    results = [two, one, people([]), ItemError("decode", "truncated", "x"), people([[5, 5, 9, 9]])]
    pictures = [
        picture(name, result, size=None if isinstance(result, ItemError) else SIZE)
        for name, result in zip(NAMES, results, strict=True)
    ]
    return with_files(make_run(pictures, shard_size=2), tmp_path / "pictures").commit().open()


def with_files(made, folder: Path):
    """The same made-up run with a file in `folder` for each of its pictures."""
    for item in made.items:
        (folder / item.file_name).parent.mkdir(parents=True, exist_ok=True)
        (folder / item.file_name).write_bytes(b"picture")
    made.items = [replace(item, uri=str(folder / item.file_name)) for item in made.items]
    return made


def rows_of(run) -> dict[str, list[dict]]:
    """People by file name."""
    names = {row["image_id"]: row["file_name"] for batch in run.images() for row in batch.to_pylist()}
    people: dict[str, list[dict]] = {name: [] for name in names.values()}
    for batch in run.instances():
        for row in batch.to_pylist():
            people[names[row["image_id"]]].append(row)
    return people


def joints(row: dict) -> np.ndarray:
    return np.reshape(row["keypoints"], (-1, 3))


def test_cvat_has_every_joint_with_its_visibility(run, tmp_path) -> None:
    """By CVAT's documented schema; the readers on PyPI know no skeletons."""
    path = tmp_path / "annotations.xml"
    written = FORMATS["cvat"](run, path, min_score=0.25)
    assert (written.images, written.people, written.errors) == (4, 4, 1)
    root, rows = ElementTree.parse(path).getroot(), rows_of(run)
    assert root.findtext("version") == "1.1"
    labels = root.findall("meta/task/labels/label")
    assert [(x.findtext("name"), x.findtext("type")) for x in labels[:2]] == [
        ("person", "skeleton"), ("nose", "points"),
    ]  # fmt: skip
    assert [x.findtext("parent") for x in labels] == [None] + ["person"] * 17
    images = root.findall("image")
    assert [image.get("name") for image in images] == [n for n in NAMES if n != "broken.jpg"]
    for image in images:
        assert (image.get("width"), image.get("height")) == ("640", "480")
        skeletons = image.findall("skeleton")
        for skeleton, row in zip(skeletons, rows[image.get("name") or ""], strict=True):
            points = skeleton.findall("points")
            assert [p.get("label") for p in points] == list(COCO_17.keypoints)
            xy = np.array([[float(c) for c in (p.get("points") or "").split(",")] for p in points])
            # From the corner of the picture, as all its tools place points.
            np.testing.assert_allclose(xy, joints(row)[:, :2] + 0.5, atol=1e-4)
            v = [0 if p.get("outside") == "1" else 1 if p.get("occluded") == "1" else 2 for p in points]
            assert v == joints(row)[:, 2].tolist()
            attributes = {a.get("name"): a.text for a in skeleton.findall("attribute")}
            assert attributes == {"id": str(row["id"]), "score": f"{row['score']:.4f}"}
    assert {0, 1, 2} == set(joints(rows[NAMES[0]][1])[:, 2].astype(int))


def test_cvats_own_reader_finds_what_it_asks_for(run, tmp_path) -> None:
    """The rules of the server's reader (load_anno in its apps/dataset_manager/formats/cvat.py), in our words.

    It reads a stream of starts and ends, takes a point for a joint of the skeleton that is open, and an
    attribute for one of the skeleton's when no point is; labels must be in the task, joints below theirs.
    """
    path = tmp_path / "annotations.xml"
    written = FORMATS["cvat"](run, path)
    (label,) = json.loads((tmp_path / "annotations.xml.labels.json").read_text())
    joint_labels = {sublabel["name"] for sublabel in label["sublabels"]}
    people, joints_read, attributes, point_open, names = 0, 0, [], False, []
    for event, element in ElementTree.iterparse(path, events=("start", "end")):
        if event == "start" and element.tag == "image":
            names.append(element.attrib["name"])
        if element.tag == "points" and names:
            point_open = event == "start"
        if event == "end" and element.tag == "points" and names:
            assert element.attrib["label"] in joint_labels
            assert {element.attrib["occluded"], element.attrib["outside"]} <= {"0", "1"}
            assert len([float(value) for value in element.attrib["points"].split(",")]) == 2
            joints_read += 1
        if event == "end" and element.tag == "attribute" and names:
            assert not point_open
            attributes.append(element.attrib["name"])
        if event == "end" and element.tag == "skeleton":
            assert (element.attrib["label"], element.attrib["occluded"]) == (label["name"], "0")
            assert attributes == [attribute["name"] for attribute in label["attributes"]]
            people, attributes = people + 1, []
    assert (people, joints_read) == (written.people, 17 * written.people)
    assert names == [name for name in NAMES if name != "broken.jpg"]


def test_nobody_gets_onto_another_picture_in_cvat(make_run, picture, people, tmp_path) -> None:
    """The server finds a picture by its name without suffix, and else takes its id for the frame's number."""
    one = people([[50, 40, 120, 240]])
    made = make_run([picture(name, one) for name in ("film.mp4#00000005", "a.jpg", "b.jpg", "c.jpg")])
    made.items[0] = replace(made.items[0], video_uri="/data/film.mp4", frame_index=5)
    written = FORMATS["cvat"](made.commit().open(), tmp_path / "a.xml")
    assert (written.images, written.people, written.no_file) == (3, 3, 1)
    images = ElementTree.parse(tmp_path / "a.xml").getroot().findall("image")
    frames = {"c": 0, "film": 1, "a": 2}
    found = {}
    for image in images:
        name = image.attrib["name"]
        found[name] = frames.get(Path(name).stem, int(image.attrib["id"]))
    assert (found["a.jpg"], found["c.jpg"]) == (2, 0)
    assert found["b.jpg"] >= 1_000_000_000, "no frame of any task: CVAT refuses it"
    assert len({image.attrib["id"] for image in images}) == 3


def test_names_that_xml_cannot_hold_are_left_out(make_run, picture, people, tmp_path, capsys) -> None:
    names = ["a\x07.jpg", "b\x1b[0m.jpg", "c\ufffe.jpg", "d\te\u0301 \U0001f600\x7f.jpg"]
    made = make_run([picture(name, people([[50, 40, 120, 240]])) for name in names]).commit()
    export(str(made.path), str(tmp_path / "a.xml"), "cvat")
    images = ElementTree.parse(tmp_path / "a.xml").getroot().findall("image")
    assert [image.get("name") for image in images] == names[3:]
    said = capsys.readouterr().out
    assert (
        "1 images, 1 people" in said and "3 images are left out: their names hold control characters" in said
    )


def test_cvats_labels_can_be_pasted(run, tmp_path) -> None:
    FORMATS["cvat"](run, tmp_path / "a.xml")
    (label,) = json.loads((tmp_path / "a.xml.labels.json").read_text())
    assert [s["name"] for s in label["sublabels"]] == list(COCO_17.keypoints)
    svg = ElementTree.fromstring(f"<svg>{label['svg']}</svg>")
    nodes = {c.get("data-node-id"): c.get("data-label-name") for c in svg.findall("circle")}
    assert nodes == {str(n + 1): name for n, name in enumerate(COCO_17.keypoints)}
    edges = [
        (int(x.get("data-node-from", 0)) - 1, int(x.get("data-node-to", 0)) - 1) for x in svg.findall("line")
    ]
    assert edges == list(COCO_17.edges)


def test_label_studio_is_read_back_by_fiftyone(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
    from fiftyone.utils.labelstudio import import_label_studio_annotation

    path = tmp_path / "tasks.json"
    written = FORMATS["label-studio"](run, path)
    tasks, rows = json.loads(path.read_text()), rows_of(run)
    assert written.people == 4 and [t["data"]["file_name"] for t in tasks] == [
        n for n in NAMES if n != "broken.jpg"
    ]
    assert tasks[0]["data"]["image"].endswith("/a%20%26%20%3Cb%3E.jpg")
    for task in tasks:
        result = task["predictions"][0]["result"]
        boxes = [r for r in result if r["type"] == "rectanglelabels"]
        for box, row in zip(boxes, rows[task["data"]["file_name"]], strict=True):
            name, detection = import_label_studio_annotation(box)
            assert (name, detection.label) == ("box", "person")
            found = np.array(detection.bounding_box) * [*SIZE, *SIZE]
            np.testing.assert_allclose(found, row["bbox"], atol=1e-6 * 640)
            mine = [r for r in result if r.get("parentID") == box["id"]]
            labelled = joints(row)[joints(row)[:, 2] > 0]
            names = [COCO_17.keypoints[n] for n in np.flatnonzero(joints(row)[:, 2] > 0)]
            for one, (x, y, v), joint in zip(mine, labelled, names, strict=True):
                name, keypoint = import_label_studio_annotation([one])
                assert (name, keypoint.label) == ("joints", joint)
                # FiftyOne's fractions begin at the corner of the picture too.
                place = np.array(keypoint.points[0]) * SIZE
                np.testing.assert_allclose(place, [x + 0.5, y + 0.5], atol=1e-6 * 640)
                assert one["meta"]["text"] == ["hidden" if v == 1 else "visible"]
    config = ElementTree.fromstring((tmp_path / "tasks.json.config.xml").read_text())
    assert {tag.get("name") for tag in config} == {"image", "box", "joints"}
    assert [x.get("value") for x in config.findall("KeyPointLabels/Label")] == list(COCO_17.keypoints)


def test_yolo_pose_holds_what_the_format_can(run, tmp_path) -> None:
    path = tmp_path / "yolo"
    written = FORMATS["yolo-pose"](run, path)
    assert (written.images, written.people, written.errors) == (4, 4, 1)
    data = yaml.safe_load((path / "data.yaml").read_text())
    assert data["kpt_shape"] == [17, 3] and data["flip_idx"] == list(COCO_17.flip_indices)
    assert data["names"] == {0: "person"}
    rows = rows_of(run)
    files = {"a & <b>.jpg": "a & <b>", "sub/b.jpg": "sub/b", "empty.jpg": "empty"}
    (second,) = [p for p in (path / "labels/sub").iterdir() if p.stem != "b"]
    files["sub/b.png"] = f"sub/{second.stem}"
    for name, stem in files.items():
        image = path / "images" / f"{stem}{Path(name).suffix}"
        assert image.read_bytes() == b"picture"
        lines = (path / "labels" / f"{stem}.txt").read_text().splitlines()
        for line, row in zip(lines, rows[name], strict=True):
            numbers = np.array(line.split(), float)
            assert numbers[0] == 0 and len(numbers) == 5 + 51 and (numbers[1:5] >= 0).all()
            x, y, w, h = row["bbox"]
            low = np.clip(np.array([x, y]) / SIZE, 0, 1)
            high = np.clip(np.array([x + w, y + h]) / SIZE, 0, 1)
            np.testing.assert_allclose(numbers[1:5], [*(low + high) / 2, *high - low], atol=1e-6)
            xyv = joints(row).astype(float)
            inside = ((xyv[:, :2] >= 0) & (xyv[:, :2] <= SIZE)).all(axis=1) & (xyv[:, 2] > 0)
            found = numbers[5:].reshape(-1, 3)
            np.testing.assert_array_equal(found[~inside], 0)
            np.testing.assert_allclose(found[inside, :2], xyv[inside, :2] / SIZE, atol=1e-6)
            np.testing.assert_array_equal(found[inside, 2], xyv[inside, 2])
    assert (joints(rows[NAMES[0]][1])[5, 0] > 640) and "0 0 0" in (path / "labels/a & <b>.txt").read_text()


def test_ultralytics_finds_labels_below_folders_called_images(make_run, picture, people, tmp_path) -> None:
    """It looks for a picture's label where the last `images` of the path says `labels`."""
    names = ["images/train/a.jpg", "images_/train/a.jpg", "images/train/a-1004.jpg", "b/images/a.jpg"]
    names += ["images/train/a.png"]
    boxes = [[10.0 * (n + 1), 40, 20, 240] for n in range(len(names))]
    made = make_run([picture(name, people([box])) for name, box in zip(names, boxes, strict=True)])
    made = with_files(made, tmp_path / "pictures")
    FORMATS["yolo-pose"](made.commit().open(), tmp_path / "yolo")
    found = {}
    for link in (tmp_path / "yolo" / "images").rglob("*.*"):
        label = "/labels/".join(str(link).rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt"
        (line,) = Path(label).read_text().splitlines()
        found[str(link.readlink().relative_to(tmp_path / "pictures"))] = float(line.split()[1]) * SIZE[0]
    assert found == {name: pytest.approx(box[0] + 10) for name, box in zip(names, boxes, strict=True)}


def test_yolo_pose_teaches_nobody_whom_nobody_has_accepted(
    make_run, picture, people, tmp_path, capsys
) -> None:
    """A line without joints is a person to it, and no line is background: such pictures are left out."""
    two = people([[50, 40, 120, 240], [300, 60, 150, 300]])
    made = make_run([picture(f"{n}.jpg", two) for n in ("accepted", "undecided", "stale", "rejected")])
    made = with_files(made, tmp_path / "pictures").commit()
    when = "2026-01-01T00:00:00Z"

    def review(image: int, n: int, decision: str = "accepted", **more) -> Review:
        return Review(image << 12 | n, 1000 + image, decision, None, "anna", when, **more)

    aged = review(2, 2, flags=("stale",))
    alone = review(3, 2, "rejected")
    firsts = [review(image, 1) for image in range(4)]
    write_layer(made.open(), [*firsts, review(0, 2), aged, alone])
    export(str(made.path), str(tmp_path / "yolo"), "yolo-pose", reviewed="accepted")
    said = capsys.readouterr().out
    assert "2 images, 3 people" in said and "2 images are left out: somebody in them was not accepted" in said
    lines = {file.stem: file.read_text().splitlines() for file in (tmp_path / "yolo/labels").iterdir()}
    assert {name: len(people) for name, people in lines.items()} == {"accepted": 2, "rejected": 1}
    assert all(
        len(line.split()) == 5 + 51 and line.split()[7] == "2" for those in lines.values() for line in those
    )
    export(str(made.path), str(tmp_path / "all"), "yolo-pose", reviewed="all")
    assert "4 images, 7 people" in capsys.readouterr().out


@pytest.mark.parametrize("with_images", [False, True])
def test_datasets_loads_the_hugging_face_folder(run, tmp_path, with_images: bool) -> None:
    import datasets

    path = tmp_path / "hf"
    written = FORMATS["hugging-face"](run, path, with_images=with_images)
    assert written.people == 4
    loaded = datasets.load_dataset(str(path), split="train", cache_dir=str(tmp_path / "cache"))
    rows = rows_of(run)
    assert [row["file_name"] for row in loaded.select_columns(["file_name"])] == [
        n for n in NAMES if n != "broken.jpg"
    ]
    if with_images:
        assert isinstance(loaded.features["image"], datasets.Image)
        loaded = loaded.cast_column("image", datasets.Image(decode=False))
        assert loaded[0]["image"]["bytes"] == b"picture"
    for row in loaded:
        assert (row["width"], row["height"]) == SIZE
        for person, ours in zip(row["objects"], rows[row["file_name"]], strict=True):
            for name in ("id", "bbox", "keypoints", "keypoint_scores", "num_keypoints", "score"):
                assert person[name] == ours[name], name


def test_a_local_file_whose_name_is_not_unicode_is_local(
    make_run, picture, people, tmp_path, monkeypatch, capsys
) -> None:
    """Its URI is file:// and percent-encoded; those of object stores stay what they are."""
    file = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Path(os.fsdecode(file)).write_bytes(b"picture")
    made = make_run([picture("caf%E9.jpg", people([[50, 40, 120, 240]])), picture("b.jpg", people([]))])
    uris = [to_uri(os.fsdecode(file)), "s3://bucket/b.jpg"]
    made.items = [replace(item, uri=uri) for item, uri in zip(made.items, uris, strict=True)]
    run = made.commit().open()
    export(run.place, str(tmp_path / "yolo"), "yolo-pose")
    said = capsys.readouterr().out
    assert "2 images, 1 people" in said and "1 images are without their picture" in said
    assert [link.name for link in (tmp_path / "yolo" / "images").iterdir()] == ["caf%E9.jpg"]
    assert (tmp_path / "yolo" / "images" / "caf%E9.jpg").read_bytes() == b"picture"
    FORMATS["label-studio"](run, tmp_path / "tasks.json")
    addresses = [task["data"]["image"] for task in json.loads((tmp_path / "tasks.json").read_text())]
    assert addresses == [f"/data/local-files/?d={quote(file[1:])}", uris[1]]
    monkeypatch.setattr(hugging_face, "read_bytes", lambda uri, most: uri.encode())
    FORMATS["hugging-face"](run, tmp_path / "hf", with_images=True)
    (table,) = (pq.read_table(path) for path in (tmp_path / "hf" / "data").iterdir())
    assert table["image"].to_pylist() == [
        {"bytes": b"picture", "path": "caf%E9.jpg"},
        {"bytes": uris[1].encode(), "path": "b.jpg"},
    ]


def test_folders_are_never_written_over(run, tmp_path) -> None:
    for name in ("yolo-pose", "hugging-face"):
        target = tmp_path / name
        target.mkdir()
        FORMATS[name](run, target)
        with pytest.raises(UserError, match="already"):
            FORMATS[name](run, target)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")], "nothing is left aside"


def test_nothing_appears_when_it_fails(run, tmp_path, monkeypatch) -> None:
    from annotator.export import cvat, yolo_pose

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cvat, "_write_image", fail)
    monkeypatch.setattr(yolo_pose, "_write_picture", fail)
    before = set(tmp_path.iterdir())
    for name in ("cvat", "yolo-pose"):
        with pytest.raises(KeyboardInterrupt):
            FORMATS[name](run, tmp_path / name)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["cvat", "label-studio", "yolo-pose", "hugging-face"])
def test_a_minimum_score_leaves_out_people_not_pictures(run, tmp_path, name: str) -> None:
    written = FORMATS[name](run, tmp_path / "out", min_score=0.7)
    assert (written.images, written.people, written.below_score) == (4, 2, 2)


def test_both_models_of_a_cascade_are_named(cascade, tmp_path) -> None:
    FORMATS["label-studio"](cascade, tmp_path / "tasks.json")
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert task["predictions"][0]["model_version"] == 'test-pose + second "pose"'
    FORMATS["hugging-face"](cascade, tmp_path / "hf")
    card = (tmp_path / "hf" / "README.md").read_text()
    assert f'test-pose (weights sha256 `{"ab" * 32}`)\nand second "pose" (weights sha256' in card


def test_pictures_that_cannot_be_put_in_are_counted(run, tmp_path, capsys) -> None:
    (tmp_path / "pictures" / "empty.jpg").unlink()
    export(run.place, str(tmp_path / "some"), "hugging-face", with_images=True)
    assert "1 images are without their picture" in capsys.readouterr().out
    for file in (tmp_path / "pictures").rglob("*.*"):
        file.unlink()
    with pytest.raises(UserError, match="none of the 4 images has a file that can be read"):
        FORMATS["hugging-face"](run, tmp_path / "none", with_images=True)
    assert not (tmp_path / "none").exists() and not list(tmp_path.glob(".none*"))
    assert FORMATS["hugging-face"](run, tmp_path / "none").no_picture == 0
