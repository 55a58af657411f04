"""What was sent back is listed whoever sent it back, and what cannot be listed is counted."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from annotator.review.send_back import write_manifest
from annotator.store.review_folder import copies_folder
from annotator.store.reviews import Review


def sent_back(place: int) -> Review:
    return Review(place << 12 | 1, 1000 + place, "sent back", None, "anna", "2026-01-01T10:00:00.000Z")


def test_frames_are_listed_by_their_copies_and_counted_without(make_run, picture, people) -> None:
    made = make_run([picture(f"{n}.jpg", people([[1, 1, 20, 30]])) for n in range(4)])
    film = "/data/film.mp4"
    made.items[1:3] = [
        replace(item, uri=f"{film}#{n}", video_uri=film, frame_index=n)
        for n, item in enumerate(made.items[1:3])
    ]
    run = made.commit().open()
    copies = copies_folder(run.path, run.info)
    copies.mkdir(parents=True)
    (copies / "1.jpg").write_bytes(b"a frame")
    # The last is of an image that the run does not have any more.
    again = write_manifest(run, [sent_back(place) for place in (0, 1, 2, 9)])
    assert (again.images, again.without_copy) == (2, 1)
    assert again.manifest is not None
    assert again.manifest.read_text().splitlines() == [
        "uri,image_id,source,people",
        "/data/0.jpg,1000,/data/0.jpg,1",
        f"{copies / '1.jpg'},1001,{film}#0,{1 << 12 | 1}",
    ]
    nothing = write_manifest(run, [sent_back(2)])
    assert (nothing.manifest, nothing.images, nothing.without_copy) == (None, 0, 1)
    assert not again.manifest.exists()


def test_what_was_annotated_again_replaces_what_was_sent_back(tmp_path, monkeypatch) -> None:
    """As docs/review.md puts two exports into one."""
    page = (Path(__file__).parents[2] / "docs" / "review.md").read_text()
    [program] = re.findall(r"^```python\n(.+?)^```", page, re.MULTILINE | re.DOTALL)

    def write(name: str, images: list[int], people: dict[int, int]) -> None:
        annotations = [{"id": person, "image_id": image} for person, image in people.items()]
        document = {"images": [{"id": image} for image in images], "annotations": annotations}
        (tmp_path / name).write_text(json.dumps(document))

    write("run.json", [1, 2], {11: 1, 12: 2, 13: 2})
    write("again.json", [2, 3], {11: 2, 12: 3})
    monkeypatch.chdir(tmp_path)
    exec(program, {})
    both = json.loads((tmp_path / "both.json").read_text())
    assert [image["id"] for image in both["images"]] == [1, 2, 3]
    assert [(one["id"], one["image_id"]) for one in both["annotations"]] == [(1, 1), (2, 2), (3, 3)]
