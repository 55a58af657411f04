from __future__ import annotations

import pytest

from annotator.errors import UserError
from annotator.sources.plan import build_plan


def coco(*images: tuple[int, str]) -> dict:
    return {"images": [{"id": number, "file_name": name} for number, name in images], "annotations": []}


def items(made):
    return [item for shard in made.shards for item in made.items(shard)]


@pytest.mark.parametrize(
    ("json_at", "pictures_at"),
    [
        ("set/coco.json", "set"),
        ("set/coco.json", "set/images"),
        ("set/annotations/instances_val2017.json", "set/val2017"),
        ("set/annotations/coco.json", "set/images"),
    ],
)
def test_pictures_are_found_where_they_usually_lie(touch, write_json, json_at, pictures_at):
    root = touch(f"{pictures_at}/a/1.jpg", f"{pictures_at}/2.jpg")
    path = write_json(root / json_at, coco((30, "a/1.jpg"), (4, "2.jpg"), (5, "missing.jpg")))
    made = build_plan([path], shard_size=10)
    assert [(item.image_id, item.file_name) for item in items(made)] == [
        (30, "a/1.jpg"),
        (4, "2.jpg"),
        (5, "missing.jpg"),
    ]
    assert [item.uri for item in items(made)][:2] == [
        str(root / pictures_at / name) for name in ("a/1.jpg", "2.jpg")
    ]


def test_image_root_wins(touch, write_json):
    root = touch("set/1.jpg", "other/1.jpg")
    path = write_json(root / "set/coco.json", coco((1, "1.jpg")))
    made = build_plan([path], image_root=str(root / "other"), shard_size=1)
    assert items(made)[0].uri == str(root / "other/1.jpg")
    with pytest.raises(UserError, match=r"is in .*empty; name the folder"):
        (root / "empty").mkdir()
        build_plan([path], image_root=str(root / "empty"), shard_size=1)


def test_absolute_names_need_no_root(touch, write_json):
    root = touch("set/1.jpg")
    path = write_json(root / "coco.json", coco((1, "/nowhere/a.jpg"), (2, str(root / "set/1.jpg"))))
    assert [item.uri for item in items(build_plan([path], shard_size=9))] == [
        "/nowhere/a.jpg",
        str(root / "set/1.jpg"),
    ]


def test_one_id_for_two_files_is_refused(touch, write_json):
    root = touch("1.jpg", "2.jpg")
    with pytest.raises(UserError, match=r"(?s)image id 7: .*1\.jpg and .*2\.jpg"):
        build_plan([write_json(root / "c.json", coco((7, "1.jpg"), (7, "2.jpg")))], shard_size=9)
    made = build_plan([write_json(root / "c.json", coco((7, "1.jpg"), (7, "1.jpg")))], shard_size=9)
    assert len(made) == 1 and made.duplicates == 1


def test_two_coco_files_with_equal_names(touch, write_json):
    root = touch("train/1.jpg", "val/1.jpg")
    train = write_json(root / "train/c.json", coco((1, "1.jpg")))
    val = write_json(root / "val/c.json", coco((2, "1.jpg")))
    made = build_plan([train, val], shard_size=9)
    assert [(item.image_id, item.file_name) for item in items(made)] == [(1, "train/1.jpg"), (2, "val/1.jpg")]


def test_real_ground_truth(assets):
    import json

    document = json.loads(assets.ground_truth.read_text())
    made = build_plan([str(assets.ground_truth)], shard_size=16)
    assert [(item.image_id, item.file_name) for item in items(made)] == [
        (image["id"], image["file_name"]) for image in document["images"]
    ]
    assert all((assets.photos / item.file_name).samefile(item.uri) for item in items(made))
