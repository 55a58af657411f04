"""Which image of a run is which image of the ground truth."""

from __future__ import annotations

import json

from annotator.evaluate.matching import match_images


def test_ids_match_when_the_ground_truth_has_them_all() -> None:
    matching = match_images([(7, "a/7.jpg"), (9, "renamed.jpg")], {7: "7.jpg", 9: "9.jpg", 11: "11.jpg"})
    assert (matching.by, matching.gt_of, matching.not_in_run) == ("id", {7: 7, 9: 9}, 1)
    assert matching.other_names == ("renamed.jpg",)


def test_one_unknown_id_means_names() -> None:
    matching = match_images([(7, "7.jpg"), (5000, "9.jpg")], {7: "9.jpg", 9: "7.jpg"})
    assert (matching.by, matching.gt_of) == ("file_name", {7: 9, 5000: 7})


def test_ids_that_only_happen_to_agree_are_not_trusted() -> None:
    ours, theirs = [(1, "b.jpg"), (2, "c.jpg")], {1: "a.jpg", 2: "b.jpg", 3: "c.jpg"}
    matching = match_images(ours, theirs)
    assert (matching.by, matching.gt_of) == ("file_name", {1: 2, 2: 3})


def test_the_relative_path_goes_before_the_base_name() -> None:
    matching = match_images([(100, "a/1.jpg"), (101, "b/1.jpg")], {1: "b/1.jpg", 2: "a/1.jpg"})
    assert matching.gt_of == {100: 2, 101: 1}


def test_base_names_match_across_folders_when_unambiguous() -> None:
    matching = match_images(
        [(100, "x/1.jpg"), (101, "x/2.jpg")], {1: "val\\1.jpg", 2: "val/2.jpg", 3: "val/3.jpg"}
    )
    assert matching.gt_of == {100: 1, 101: 2} and matching.not_in_run == 1 and matching.unmatched == ()


def test_ambiguous_base_names_are_said_not_guessed() -> None:
    matching = match_images(
        [(100, "x/1.jpg"), (101, "y/1.jpg"), (102, "2.jpg")], {1: "1.jpg", 2: "p/2.jpg", 3: "q/2.jpg"}
    )
    assert matching.gt_of == {} and matching.unmatched == ("x/1.jpg", "y/1.jpg", "2.jpg")
    # a/1.jpg has its own; that leaves no licence to give b/1.jpg the 1.jpg of another folder.
    matching = match_images([(100, "a/1.jpg"), (101, "b/1.jpg")], {1: "a/1.jpg", 2: "c/1.jpg"})
    assert matching.gt_of == {100: 1} and matching.unmatched == ("b/1.jpg",)


def test_json_form_is_short() -> None:
    document = match_images([(1000 + i, f"{i}.jpg") for i in range(50)], {0: "0.jpg"}).to_dict()
    assert (
        document["unmatched"] == 49 and len(document["unmatched_examples"]) == 5 and document["matched"] == 1
    )
    json.dumps(document)
