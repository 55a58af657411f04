"""Label Studio's tasks with predictions: a rectangle a person, its joints as keypoints that belong to it.

https://labelstud.io/guide/predictions and https://labelstud.io/tags/keypointlabels
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from annotator.export.exported import Exported
from annotator.export.pictures import Person, Picture, pictures
from annotator.locations import is_remote
from annotator.skeletons import Skeleton
from annotator.store.atomic import atomic_text
from annotator.store.reader import Run
from annotator.uris import local_path

CONFIG_SUFFIX = ".config.xml"

# How large Label Studio draws a joint, in percent of the picture's width.
_JOINT_WIDTH = 0.4


def write_label_studio(run: Run, path: str | Path, *, min_score: float = 0.0) -> Exported:
    """Write the tasks, one a picture, and `PATH.config.xml`, the labelling interface that they need.

    Joints of v = 0 are left out; whether one is hidden stands in its `meta`. Places are percent of the
    picture from its corner, where rows count joints from the centre of the first pixel. Local files are
    addressed as Label Studio serves them (LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/). Frames of videos have no
    file and are left out.

    Args:
        min_score: people below it are left out; their pictures stay.

    Raises:
        UserError: nothing was committed yet, or the path cannot be written.
        RunFailed: a data file is damaged, or the disk is full.
    """
    skeleton, done = run.skeleton, Exported(Path(path))
    model = " + ".join(model.name for model in run.info.pose_models)
    with atomic_text(path) as out:
        separator = "[\n"
        for picture in pictures(run, done, min_score=min_score):
            if picture.is_frame:
                done.no_file += 1
                continue
            done.images += 1
            done.add_people(person.doubts for person in picture.people)
            out.write(separator + json.dumps(_task(picture, skeleton, model), ensure_ascii=False))
            separator = ",\n"
        out.write("[]\n" if separator == "[\n" else "\n]\n")
    with atomic_text(f"{path}{CONFIG_SUFFIX}") as out:
        out.write(labelling_config(skeleton))
    return done


def labelling_config(skeleton: Skeleton) -> str:
    """The labelling interface: one picture, people as rectangles, joints as keypoints."""
    joints = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in skeleton.keypoints)
    return f"""<View>
  <Image name="image" value="$image" zoom="true"/>
  <RectangleLabels name="box" toName="image">
    <Label value="person"/>
  </RectangleLabels>
  <KeyPointLabels name="joints" toName="image">
{joints}
  </KeyPointLabels>
</View>
"""


def _task(picture: Picture, skeleton: Skeleton, model: str) -> dict[str, Any]:
    result = [part for person in picture.people for part in _person(person, picture, skeleton)]
    scores = [person.score for person in picture.people]
    return {
        "data": {
            "image": _address(picture.uri),
            "file_name": picture.file_name,
            "image_id": picture.image_id,
        },
        "predictions": [
            {"model_version": model, "score": sum(scores) / len(scores) if scores else 0.0, "result": result}
        ],
    }


def _person(person: Person, picture: Picture, skeleton: Skeleton) -> list[dict[str, Any]]:
    width, height = picture.width, picture.height
    common = {
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    x, y, w, h = person.bbox.tolist()
    box = {
        **common,
        "id": f"p{person.id}",
        "from_name": "box",
        "type": "rectanglelabels",
        "score": person.score,
        "value": {
            "x": 100 * x / width,
            "y": 100 * y / height,
            "width": 100 * w / width,
            "height": 100 * h / height,
            "rotation": 0,
            "rectanglelabels": ["person"],
        },
    }
    joints = [
        {
            **common,
            "id": f"p{person.id}-{n}",
            "parentID": f"p{person.id}",
            "from_name": "joints",
            "type": "keypointlabels",
            "score": float(person.keypoint_scores[n]),
            "meta": {"text": ["hidden" if v == 1 else "visible"]},
            "value": {
                "x": 100 * (x + 0.5) / width,
                "y": 100 * (y + 0.5) / height,
                "width": _JOINT_WIDTH,
                "keypointlabels": [skeleton.keypoints[n]],
            },
        }
        for n, (x, y, v) in enumerate(person.keypoints.tolist())
        if v > 0
    ]
    return [box, *joints]


def _address(uri: str) -> str:
    """A cloud URI as it is; a local file as Label Studio's own server gives it out."""
    if is_remote(uri):
        return uri
    return f"/data/local-files/?d={quote(os.fsencode(local_path(uri)).lstrip(b'/'))}"
