from __future__ import annotations

import json

import pytest

from annotator.errors import UserError
from annotator.items import GivenBox
from annotator.sources.plan import build_plan


def annotation(image_id, bbox, **more):
    return {"image_id": image_id, "bbox": bbox, "category_id": 1, **more}


def truth(images: dict[int, str], *annotations, categories=({"id": 1, "name": "person"},)):
    return {
        "images": [{"id": number, "file_name": name} for number, name in images.items()],
        "annotations": list(annotations),
        "categories": list(categories),
    }


def boxes(made) -> dict[str, tuple | None]:
    found = [item for shard in made.shards for item in made.items(shard)]
    return {
        item.file_name: None if item.boxes is None else tuple((box.bbox, box.score) for box in item.boxes)
        for item in found
    }


@pytest.fixture
def make(touch, write_json):
    def build(inputs, given, names=("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/3.jpg")):
        root = touch(*names)
        path = write_json(root / "given.json", given)
        return build_plan([str(root / text) for text in inputs], boxes=path, shard_size=3)

    return build


def test_no_boxes_given_and_given_but_empty(touch, make):
    assert set(boxes(build_plan([str(touch("a/1.jpg"))], shard_size=1)).values()) == {None}
    made = make(["a"], truth({1: "1.jpg", 2: "2.jpg"}, annotation(1, [1, 2, 3, 4])))
    assert boxes(made) == {"1.jpg": (((1.0, 2.0, 3.0, 4.0), None),), "2.jpg": ()}
    assert any("1 images of the input have no box" in note for note in made.notes)


def test_numbers_are_kept_to_the_last_bit(make):
    exact = [0.1 + 0.2, -3.7, 1 / 3, 1e-9]
    made = make(["a"], truth({1: "1.jpg"}, annotation(1, exact, score=0.1)))
    assert boxes(made)["1.jpg"] == ((tuple(exact), 0.1),)


def test_matched_by_relative_path_before_base_name(make):
    given = truth(
        {1: "a/1.jpg", 2: "b/1.jpg", 3: "deep/2.jpg", 4: "3.jpg"},
        *(annotation(number, [number, 0, 1, 1]) for number in (4, 2, 1, 3)),
    )
    made = make(["."], given)
    assert {name: found[0][0][0] for name, found in boxes(made).items()} == {
        "a/1.jpg": 1, "a/2.jpg": 3, "b/1.jpg": 2, "b/3.jpg": 4,
    }  # fmt: skip


def test_ambiguous_base_names_match_nothing(make):
    given = truth(
        {1: "1.jpg", 2: "x/3.jpg", 3: "y/3.jpg", 4: "2.jpg"},
        *(annotation(number, [number, 0, 1, 1]) for number in (1, 2, 3, 4)),
    )
    made = make(["."], given)
    assert {name for name, found in boxes(made).items() if found} == {"a/2.jpg"}
    assert any("3 boxes belong to no image" in note for note in made.notes)


def test_coco_input_matches_by_id_even_when_names_differ(touch, write_json):
    root = touch("1.jpg", "2.jpg")
    source = write_json(root / "in.json", truth({10: "1.jpg", 20: "2.jpg"}))
    results = write_json(
        root / "results.json",
        [
            {"image_id": 20, "bbox": [1, 1, 5, 5], "score": 0.5, "category_id": 1},
            {"image_id": 10, "bbox": [2, 2, 5, 5], "score": 0.7, "category_id": 1},
            {"image_id": 10, "bbox": [3, 3, 5, 5], "score": 0.9, "category_id": 1},
            {"image_id": 10, "bbox": [4, 4, 5, 5], "score": 0.9, "category_id": 18},
            {"image_id": 99, "bbox": [5, 5, 5, 5], "score": 0.9, "category_id": 1},
        ],
    )
    made = build_plan([source], boxes=results, shard_size=2)
    assert made.items(0)[0].boxes == (
        GivenBox((2.0, 2.0, 5.0, 5.0), 0.7),
        GivenBox((3.0, 3.0, 5.0, 5.0), 0.9),
    )
    assert made.items(0)[1].boxes == (GivenBox((1.0, 1.0, 5.0, 5.0), 0.5),)
    assert any("1 boxes of other categories" in note for note in made.notes)
    assert any("1 boxes belong to no image" in note for note in made.notes)


def test_crowds_other_categories_and_empty_boxes_are_left_out(make):
    given = truth(
        {1: "1.jpg"},
        annotation(1, [1, 1, 5, 5]),
        annotation(1, [2, 2, 5, 5], iscrowd=1),
        {"image_id": 1, "bbox": [3, 3, 5, 5], "category_id": 2},
        annotation(1, [4, 4, 0, 5]),
        annotation(1, [float("nan"), 4, 1, 5]),
        categories=({"id": 2, "name": "dog"}, {"id": 1, "name": "Person"}),
    )
    made = make(["a"], given)
    assert boxes(made)["1.jpg"] == (((1.0, 1.0, 5.0, 5.0), None),)
    text = " ".join(made.notes)
    assert "1 boxes of crowds" in text and "1 boxes of other" in text and "2 boxes without area" in text


def test_category_ids_may_stand_in_quotes(make):
    """A mixture means the same as plain numbers, as it does for image ids."""
    given = truth(
        {1: "1.jpg", 2: "2.jpg"},
        annotation("1", [1, 1, 5, 5], category_id=7),
        annotation(2, [2, 2, 5, 5], category_id="7"),
        annotation(2, [3, 3, 5, 5], category_id=8.0),
        categories=({"id": "7", "name": "person"}, {"id": 8, "name": "dog"}),
    )
    assert {name: len(found) for name, found in boxes(make(["a"], given)).items()} == {"1.jpg": 1, "2.jpg": 1}
    with pytest.raises(UserError, match=r"annotations\[0\]: 'who' is not a category id"):
        make(["a"], truth({1: "1.jpg"}, annotation(1, [1, 1, 5, 5], category_id="who")))


def test_person_may_have_another_number(make):
    given = truth({1: "1.jpg"}, {"image_id": 1, "bbox": [3, 3, 5, 5], "category_id": 5},
                  categories=({"id": 5, "name": "person"},))  # fmt: skip
    assert len(boxes(make(["a"], given))["1.jpg"]) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([annotation(1, [1, 1, 2, 2], score=1)], "names images by id only"),
        (truth({1: "1.jpg"}, annotation(1, [1, 1, 2])), r"annotations\[0\]: bbox is \[1, 1, 2\]"),
        (truth({1: "1.jpg"}, annotation(1, [1, 1, 2, "3"])), r"annotations\[0\]: bbox is"),
        (truth({1: "1.jpg"}, {"image_id": 1, "category_id": 1}), "bbox is None"),
        (truth({1: "1.jpg"}, annotation(1, [1, 1, 2, 2], score="x")), "score is 'x'"),
        (truth({1: "1.jpg"}, annotation("one", [1, 1, 2, 2])), "'one' is not an image id"),
        (
            truth({1: "1.jpg"}, categories=({"id": 1, "name": "dog"},)),
            r'no category is named "person" \(found: dog\)',
        ),
        (truth({1: "other.jpg"}, annotation(1, [1, 1, 2, 2])), "not one of its 1 boxes belongs to an image"),
        ({"images": []}, 'expected a COCO file with "annotations"'),
        ([1], "a results list holds objects"),
    ],
)
def test_mistakes_are_named(make, given, message):
    with pytest.raises(UserError, match=message):
        make(["a"], given)


def test_a_file_of_boxes_that_is_not_there(touch):
    with pytest.raises(UserError, match=r"cannot read .*gone.json: No such file"):
        build_plan([str(touch("1.jpg"))], boxes="/gone.json", shard_size=1)


def test_real_ground_truth_by_name_and_by_id(assets):
    document = json.loads(assets.ground_truth.read_text())
    by_id = build_plan([str(assets.ground_truth)], boxes=str(assets.ground_truth), shard_size=100)
    by_name = build_plan([str(assets.photos)], boxes=str(assets.ground_truth), shard_size=100)
    assert boxes(by_id) == boxes(by_name)
    expected: dict[int, list] = {}
    for entry in document["annotations"]:
        if not entry["iscrowd"] and entry["category_id"] == 1:
            expected.setdefault(entry["image_id"], []).append(tuple(entry["bbox"]))
    for item in by_id.items(0):
        assert [box.bbox for box in item.boxes] == expected.get(item.image_id, [])
