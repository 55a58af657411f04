"""A COCO file of any size, written in a moment: people with a long outline, as COCO's own have."""

from __future__ import annotations

import json
from pathlib import Path


def write_big_truth(path: Path, megabytes: float) -> Path:
    """Images 0, 1, 2, ... with two people each, until the file has that many megabytes."""
    person = {
        "segmentation": [[round(1.37 * n, 2) for n in range(160)]],
        "num_keypoints": 17, "area": 5000.5, "iscrowd": 0, "category_id": 1,
        "keypoints": [c for n in range(17) for c in (100 + 4 * n, 60 + 9 * n, 2)],
        "bbox": [95.5, 50.25, 80.0, 170.0],
    }  # fmt: skip
    image = {"license": 1, "height": 480, "width": 640, "date_captured": "2013-11-14 16:28:13"}
    both = 2 * (len(json.dumps(person)) + 40) + len(json.dumps(image)) + 60
    images = int(megabytes * 1e6 / both) + 10
    text = json.dumps(person)[:-1]
    with path.open("w") as out:
        out.write('{"info": {}, "images": [')
        for n in range(images):
            comma = ",\n" if n else ""
            out.write(comma + json.dumps({**image, "id": n, "file_name": f"{n:012d}.jpg"}))
        out.write('], "annotations": [')
        for n in range(2 * images):
            comma = ",\n" if n else ""
            out.write(f'{comma}{text}, "image_id": {n // 2}, "id": {n + 1}}}')
        out.write('], "categories": [{"id": 1, "name": "person"}]}')
    return path
