"""Turn pictures into what training reads, an array a part: people cut out, or whole pictures made smaller.

    python jobs/train_demo/to_arrays.py people DATA/train DATA/people
    python jobs/train_demo/to_arrays.py pictures DATA/train DATA/pictures

Parts that are there are kept.
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
from annotator.synth.dataset import ANNOTATIONS, IMAGES_DIR

PERSON_SIZE = (144, 192)  # of a crop, width and height in pixels
PADDING = 1.25 * 1.35  # of the box: what the model sees, and what turning and scaling may bring in
SMALLEST = 14  # pixels of the longer side of a box; below it there is nothing to learn joints from
FEWEST = 3  # joints inside the picture
PICTURE_SIZE = (400, 300)


def read_part(part: Path) -> list[tuple[np.ndarray, list[dict]]]:
    """Every picture of a part with its people."""
    coco = json.loads((part / ANNOTATIONS).read_text())
    people: dict[int, list[dict]] = {image["id"]: [] for image in coco["images"]}
    for annotation in coco["annotations"]:
        people[annotation["image_id"]].append(annotation)
    read = []
    for image in coco["images"]:
        path = part / IMAGES_DIR / image["file_name"]
        pixels = cv2.imread(str(path))
        if pixels is None:
            raise UserError(f"cannot read {path}")
        read.append((pixels, people[image["id"]]))
    return read


def write_people(part: Path, out: Path) -> int:
    """Crops (N, 192, 144, 3) with joints and boxes in their pixels; returns how many."""
    crops, keypoints, visible, boxes = [], [], [], []
    for pixels, people in read_part(part):
        for person in people:
            if max(person["bbox"][2:]) >= SMALLEST and person["num_keypoints"] >= FEWEST:
                crop, joints, box = crop_person(pixels, person)
                crops.append(crop)
                keypoints.append(joints)
                boxes.append(box)
                visible.append(int((joints[:, 2] == 2).sum()))
    labels = {
        "keypoints": np.array(keypoints, np.float32),
        "visible": np.array(visible),
        "bboxes": np.array(boxes, np.float32),
    }
    write(out, np.stack(crops), labels)
    return len(crops)


def crop_person(pixels: np.ndarray, person: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The crop (192, 144, 3) uint8, joints (17, 3) and box (4,) x1 y1 x2 y2 in its pixels."""
    x, y, w, h = person["bbox"]
    size = PERSON_SIZE
    center, scale = bbox_to_center_scale(np.array([[x, y, x + w, y + h]]), PADDING, size[0] / size[1])
    matrix = np.asarray(warp_matrices(center, scale, size, True)[0], np.float64)[:2]
    crop = cv2.warpAffine(pixels, matrix, size)
    joints = np.array(person["keypoints"], np.float64).reshape(-1, 3)
    inside = joints[:, 2] > 0
    joints[inside, :2] = joints[inside, :2] @ matrix[:, :2].T + matrix[:, 2]
    corners = np.array([[x, y], [x + w, y + h]]) @ matrix[:, :2].T + matrix[:, 2]
    return crop, joints, corners.ravel()


def write_pictures(part: Path, out: Path) -> int:
    """Pictures (N, 300, 400, 3) with the boxes of all people in their pixels; returns how many."""
    pictures, boxes, starts = [], [], [0]
    for pixels, people in read_part(part):
        factor = np.array(PICTURE_SIZE) / pixels.shape[1::-1]
        pictures.append(cv2.resize(pixels, PICTURE_SIZE, interpolation=cv2.INTER_AREA))
        for person in people:
            x, y, w, h = person["bbox"]
            boxes.append([x * factor[0], y * factor[1], (x + w) * factor[0], (y + h) * factor[1]])
        starts.append(len(boxes))
    labels = {"bboxes": np.array(boxes, np.float32).reshape(-1, 4), "starts": np.array(starts)}
    write(out, np.stack(pictures), labels)
    return len(pictures)


def write(out: Path, pixels: np.ndarray, labels: dict[str, np.ndarray]) -> None:
    """Labels last: a part with labels is whole."""
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "pixels.npy", pixels)
    np.savez(out / "labels.npz", **labels)  # pyright: ignore[reportArgumentType]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=["people", "pictures"])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    for part in sorted(path.parent for path in options.data.glob(f"*/{ANNOTATIONS}")):
        out = options.out / part.name
        if not (out / "labels.npz").is_file():
            count = (write_people if options.kind == "people" else write_pictures)(part, out)
            print(f"{out}: {count} {options.kind}", flush=True)


if __name__ == "__main__":
    main()
