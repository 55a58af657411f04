"""CVAT's "CVAT for images 1.1": skeletons in XML, and beside it the labels that a task needs to take them.

https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr

from annotator.export.exported import Exported
from annotator.export.pictures import Person, Picture, pictures
from annotator.pose.standing import standing
from annotator.skeletons import Skeleton
from annotator.store.atomic import atomic_text
from annotator.store.reader import Run

LABELS_SUFFIX = ".labels.json"

# CVAT takes a picture whose name it does not know for the task's frame of that number. No task has these
# numbers, so that it says what it could not match and puts nobody on another picture.
_FIRST_ID = 1_000_000_000

# One of these makes the whole file unreadable: XML 1.0 takes them in no spelling.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_cvat(run: Run, path: str | Path, *, min_score: float = 0.0) -> Exported:
    """Write the XML, and `PATH.labels.json` to paste into the raw label editor of a new task.

    v = 2 is plain, v = 1 occluded, v = 0 outside. Each skeleton has its row's id and its score as attributes.
    CVAT counts from the picture's corner, where rows count joints from the centre of the first pixel.
    People without any joint are left out: CVAT has no box around a skeleton. So are frames of videos: they
    have no file by whose name CVAT could find them, and pictures whose names hold what XML cannot.

    Args:
        min_score: people below it are left out; their images stay.

    Raises:
        UserError: nothing was committed yet, or the path cannot be written.
        RunFailed: a data file is damaged, or the disk is full.
    """
    skeleton, done = run.skeleton, Exported(Path(path))
    with atomic_text(path) as out:
        out.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        out.write(_meta(skeleton))
        for picture in pictures(run, done, min_score=min_score):
            if picture.is_frame:
                done.no_file += 1
            elif _NOT_XML.search(picture.file_name):
                done.no_name += 1
            else:
                _write_image(out, picture, skeleton, done)
        out.write("</annotations>\n")
    with atomic_text(f"{path}{LABELS_SUFFIX}") as out:
        json.dump([label(skeleton)], out, indent=1)
    return done


def label(skeleton: Skeleton) -> dict[str, Any]:
    """The skeleton as CVAT's raw label editor takes it."""
    return {
        "name": "person",
        "type": "skeleton",
        "attributes": [
            {"name": name, "input_type": "text", "mutable": False, "values": [""]} for name in ("id", "score")
        ],
        "sublabels": [
            {"name": name, "type": "points", "attributes": [], "id": n + 1}
            for n, name in enumerate(skeleton.keypoints)
        ],
        "svg": _svg(skeleton),
    }


def _meta(skeleton: Skeleton) -> str:
    lines = [
        "<meta><task><labels>",
        f"<label><name>person</name><type>skeleton</type><svg>{escape(_svg(skeleton))}</svg><attributes>",
    ]
    for name in ("id", "score"):
        lines.append(
            f"<attribute><name>{name}</name><mutable>False</mutable><input_type>text</input_type>"
            "<default_value></default_value><values></values></attribute>"
        )
    lines.append("</attributes></label>")
    for name in skeleton.keypoints:
        lines.append(
            f"<label><name>{escape(name)}</name><type>points</type><attributes></attributes>"
            "<parent>person</parent></label>"
        )
    return "\n".join([*lines, "</labels></task></meta>\n"])


def _svg(skeleton: Skeleton) -> str:
    # In percent of the drawing.
    places = (100 * standing(skeleton)).round(1).tolist()
    lines = [
        f'<line x1="{places[a][0]}" y1="{places[a][1]}" x2="{places[b][0]}" y2="{places[b][1]}" '
        f'data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}" stroke-width="0.5"></line>'
        for a, b in skeleton.edges
    ]
    nodes = [
        f'<circle r="1.2" cx="{x}" cy="{y}" data-type="element node" data-element-id="{n + 1}" '
        f'data-node-id="{n + 1}" data-label-name={quoteattr(name)}></circle>'
        for n, (name, (x, y)) in enumerate(zip(skeleton.keypoints, places, strict=True))
    ]
    return "".join([*lines, *nodes])


def _write_image(out: IO[str], picture: Picture, skeleton: Skeleton, done: Exported) -> None:
    out.write(
        f'<image id="{_FIRST_ID + done.images}" name={quoteattr(picture.file_name)} '
        f'width="{picture.width}" height="{picture.height}">\n'
    )
    done.images += 1
    for person in picture.people:
        if not (person.keypoints[:, 2] > 0).any():
            done.no_joints += 1
            continue
        done.add_people([person.doubts])
        _write_person(out, person, skeleton)
    out.write("</image>\n")


def _write_person(out: IO[str], person: Person, skeleton: Skeleton) -> None:
    out.write('<skeleton label="person" source="auto" occluded="0" z_order="0">\n')
    for name, (x, y, v) in zip(skeleton.keypoints, person.keypoints.tolist(), strict=True):
        out.write(
            f'<points label={quoteattr(name)} source="auto" outside="{int(v == 0)}" occluded="{int(v == 1)}" '
            f'points="{x + 0.5:.4f},{y + 0.5:.4f}"></points>\n'
        )
    out.write(
        f'<attribute name="id">{person.id}</attribute>'
        f'<attribute name="score">{person.score:.4f}</attribute>\n</skeleton>\n'
    )
