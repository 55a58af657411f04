"""Cut every person out of the pictures, with room to turn and scale, so that training reads small files only.

    python jobs/train_demo/crop_people.py DATA/train DATA/crops

One COCO file a part; the boxes and joints in it are in pixels of the crops. Parts that are there are kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from annotator.errors import UserError
from annotator.pose.boxes import bbox_to_center_scale
from annotator.pose.crops import warp_matrices
from annotator.synth.dataset import ANNOTATIONS, CATEGORY, IMAGES_DIR

SIZE = (192, 256)  # of a crop, width and height in pixels
PADDING = 1.25 * 1.35  # of the box: what the model sees, and what turning and scaling may bring in
SMALLEST = 14  # pixels of the longer side of a box; below it there is nothing to learn joints from
FEWEST = 3  # joints inside the picture


def crop_part(part: Path, out: Path) -> int:
    """Write the crops of one part and their COCO file; returns how many people."""
    coco = json.loads((part / ANNOTATIONS).read_text())
    by_image: dict[int, list[dict]] = {}
    for annotation in coco["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    (out / IMAGES_DIR).mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for image in coco["images"]:
        people = [a for a in by_image.get(image["id"], ()) if usable(a)]
        if not people:
            continue
        path = part / IMAGES_DIR / image["file_name"]
        pixels = cv2.imread(str(path))
        if pixels is None:
            raise UserError(f"cannot read {path}")
        for person in people:
            cropped, crop = crop_person(pixels, person)
            name = f"{person['id']:010d}.jpg"
            cv2.imwrite(str(out / IMAGES_DIR / name), crop, [cv2.IMWRITE_JPEG_QUALITY, 92])
            images.append({"id": person["id"], "file_name": name, "width": SIZE[0], "height": SIZE[1]})
            annotations.append(cropped | {"id": person["id"], "image_id": person["id"]})
    content = {"categories": [CATEGORY], "images": images, "annotations": annotations}
    (out / ANNOTATIONS).write_text(json.dumps(content))
    return len(annotations)


def usable(annotation: dict) -> bool:
    """Large enough, and with enough joints in the picture."""
    return max(annotation["bbox"][2:]) >= SMALLEST and annotation["num_keypoints"] >= FEWEST


def crop_person(pixels: np.ndarray, person: dict) -> tuple[dict, np.ndarray]:
    """The annotation in pixels of the crop, and the crop (256, 192, 3) uint8."""
    x, y, w, h = person["bbox"]
    center, scale = bbox_to_center_scale(np.array([[x, y, x + w, y + h]]), PADDING, SIZE[0] / SIZE[1])
    matrix = np.asarray(warp_matrices(center, scale, SIZE, True)[0], np.float64)
    crop = cv2.warpAffine(pixels, matrix[:2], SIZE, flags=cv2.INTER_LINEAR)
    keypoints = np.array(person["keypoints"], np.float64).reshape(-1, 3)
    inside = keypoints[:, 2] > 0
    keypoints[inside, :2] = keypoints[inside, :2] @ matrix[:2, :2].T + matrix[:2, 2]
    low = matrix[:2, :2] @ [x, y] + matrix[:2, 2]
    high = matrix[:2, :2] @ [x + w, y + h] + matrix[:2, 2]
    bbox = [*low, *(high - low)]
    return {
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [round(float(v), 2) for v in bbox],
        "area": float(bbox[2] * bbox[3]),
        "keypoints": [round(float(v), 2) for v in keypoints.ravel()],
        "num_keypoints": int(inside.sum()),
    }, crop


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    for part in sorted(path.parent for path in options.data.glob(f"*/{ANNOTATIONS}")):
        out = options.out / part.name
        if not (out / ANNOTATIONS).is_file():
            print(f"{out}: {crop_part(part, out)} people", flush=True)


if __name__ == "__main__":
    main()
