"""The naked body: shapes drawn from the baked pack, posed by linear blend skinning, and its 17 joints.

Rest pose: arms half lowered, metres, x towards the body's left, y to its back, z up, pelvis at the origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numba
import numpy as np

# Body parts: what a vertex belongs to, for clothes and for deciding which pixel may show which joint.
TORSO, HEAD, NECK = 0, 1, 14
UPPER_ARM, FOREARM, HAND = (2, 3), (4, 5), (6, 7)  # left, right
THIGH, SHIN, FOOT = (8, 9), (10, 11), (12, 13)
CLOTH = 20  # garments that hang free of the body
HAIR = 21

_BONE_PREFIX = (
    ("neck", (NECK, NECK)),
    ("head", (HEAD, HEAD)),
    ("eye", (HEAD, HEAD)),
    ("upperarm", UPPER_ARM),
    ("lowerarm", FOREARM),
    ("wrist", HAND),
    ("finger", HAND),
    ("metacarpal", HAND),
    ("upperleg", THIGH),
    ("lowerleg", SHIN),
    ("foot", FOOT),
)

# Shares of a body's mass, mean of women and men: de Leva, J. Biomechanics 29 (1996), table 4.
_MASS = {TORSO: 0.43, HEAD: 0.055, NECK: 0.013} | {
    part: share
    for parts, share in (
        (UPPER_ARM, 0.026), (FOREARM, 0.015), (HAND, 0.006), (THIGH, 0.145), (SHIN, 0.046), (FOOT, 0.013),
    )
    for part in parts
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """One body in rest pose.

    Attributes:
        vertices: (V, 3) float32 metres.
        joints: (B, 3) float64, where each bone begins.
        age: years. gender: 0 male to 1 female. height: metres.
    """

    vertices: np.ndarray
    joints: np.ndarray
    age: float
    gender: float

    @property
    def female(self) -> bool:
        return self.gender > 0.5

    @property
    def height(self) -> float:
        return float(np.ptp(self.vertices[:, 2]))


class BodyModel:
    """Everything that all bodies share: topology, skinning, joints, body parts."""

    def __init__(self) -> None:
        with files("annotator.synth").joinpath("data/bodies.npz").open("rb") as file:
            pack = dict(np.load(file))
        self.mean: np.ndarray = pack["mean"]
        count = len(self.mean)
        components = [pack["components_fine"].astype(np.float32), pack["components"].astype(np.float32)]
        self._components = (
            np.concatenate(components).reshape(-1, count * 3) * pack["component_scale"][:, None]
        )
        self.joint_mean = pack["joint_mean"].astype(np.float64)
        self._joint_components = pack["joint_components"].reshape(len(self._components), -1)
        self._coefficients: np.ndarray = pack["coefficients"]
        self._age: np.ndarray = pack["age"]
        self._gender: np.ndarray = pack["gender"]
        self.faces = pack["faces"].astype(np.int32)
        self.eye_face = np.zeros(len(self.faces), bool)
        self.eye_face[pack["eye_faces"]] = True
        self.bones = [str(name) for name in pack["bones"]]
        self.bone = {name: i for i, name in enumerate(self.bones)}
        self.parents = pack["parents"].astype(int)
        weights = pack["skin_weights"].astype(np.float32) / 255
        self._skin = np.zeros((count, len(self.bones)), np.float32)
        np.add.at(self._skin, (np.arange(count)[:, None], pack["skin_bones"].astype(int)), weights)
        self.regressor = np.zeros((17, count), np.float32)
        self.regressor[pack["keypoint_joint"], pack["keypoint_vertex"]] = pack["keypoint_weight"]
        self._regressed = np.flatnonzero(self.regressor.any(0))
        self.landmarks = self.regressor @ self.mean
        self.vertex_part = self._vertex_parts()
        self.face_part = self.vertex_part[self.faces[:, 0]].astype(np.uint8)
        self.arm, self.leg = self._along_limbs()
        self.smoothing = self._smoothing_matrix()
        self.mass = self._vertex_masses()

    def shape(self, rng: np.random.Generator, child_rate: float = 0.12) -> Shape:
        """A random body: a baked one, mixed with a little of another of the same age group."""
        group = np.flatnonzero((self._age <= 16) if rng.random() < child_rate else (self._age > 16))
        first, second = rng.choice(group), rng.choice(group)
        mix = rng.uniform(0, 0.35)
        c = self._coefficients[first] * (1 - mix) + self._coefficients[second] * mix
        return Shape(
            vertices=(self.mean + (c @ self._components).reshape(-1, 3)).astype(np.float32),
            joints=self.joint_mean + (c @ self._joint_components).reshape(-1, 3),
            age=float(self._age[first]),
            gender=float(self._gender[first]),
        )

    def bone_transforms(
        self, joints: np.ndarray, pose: dict[str, np.ndarray], root: np.ndarray
    ) -> np.ndarray:
        """(B, 3, 4): each bone's rest-to-posed transform.

        Args:
            joints: (B, 3) rest joints.
            pose: bone name -> 3x3 rotation about that bone's joint, in rest axes, composed down the chain.
            root: (3, 3) rotation of the whole body about the pelvis.
        """
        out = np.zeros((len(self.bones), 3, 4))
        for i, name in enumerate(self.bones):
            parent = self.parents[i]
            turn = pose.get(name)
            if parent < 0:
                above, shift = root, np.zeros(3)
            elif turn is None:
                out[i] = out[parent]
                continue
            else:
                above, shift = out[parent, :, :3], out[parent, :, 3]
            turn = np.eye(3) if turn is None else turn
            out[i, :, :3] = above @ turn
            out[i, :, 3] = above @ (joints[i] - turn @ joints[i]) + shift
        return out.astype(np.float32)

    def skin(
        self, vertices: np.ndarray, transforms: np.ndarray, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """Linear blend skinning of (V, 3) rest vertices; `weights` (V, B) for meshes other than the body."""
        blended = (self._skin if weights is None else weights) @ transforms.reshape(len(transforms), 12)
        blended = blended.reshape(-1, 3, 4)
        return np.einsum("vij,vj->vi", blended[:, :, :3], vertices) + blended[:, :, 3]

    def keypoints(self, vertices: np.ndarray) -> np.ndarray:
        """(17, 3) COCO joints of a posed naked body (V, 3)."""
        return self.regressor[:, self._regressed] @ vertices[self._regressed]

    def skin_weights(self, vertices: np.ndarray) -> np.ndarray:
        """(len(vertices), B) weights of the given body vertices."""
        return self._skin[vertices]

    def _vertex_parts(self) -> np.ndarray:
        group = np.zeros(len(self.bones), int)
        for i, name in enumerate(self.bones):
            for prefix, sides in _BONE_PREFIX:
                if name.startswith(prefix):
                    group[i] = sides[name.endswith(".R")]
        by_part = np.zeros((len(self.mean), 15), np.float32)
        np.add.at(by_part.T, group, self._skin.T)
        return by_part.argmax(1)

    def _along_limbs(self) -> tuple[np.ndarray, np.ndarray]:
        """Per vertex: arm 0 shoulder, 1 elbow, 2 wrist; leg 0 hip, 1 knee, 2 ankle; -1 elsewhere."""
        arm, leg = (np.full(len(self.mean), -1, np.float32) for _ in range(2))

        def along(begin: str, end: str, mask: np.ndarray) -> np.ndarray:
            a, b = self.joint_mean[self.bone[begin]], self.joint_mean[self.bone[end]]
            return (self.mean[mask] - a) @ (b - a) / ((b - a) @ (b - a))

        for side, s in (("L", 0), ("R", 1)):
            chains = (
                (arm, (UPPER_ARM, FOREARM, HAND), ("upperarm01", "lowerarm01", "wrist")),
                (leg, (THIGH, SHIN, FOOT), ("upperleg01", "lowerleg01", "foot")),
            )
            for out, parts, bones in chains:
                first, second, third = (f"{b}.{side}" for b in bones)
                mask = self.vertex_part == parts[0][s]
                out[mask] = np.clip(along(first, second, mask), -0.5, 1)
                mask = self.vertex_part == parts[1][s]
                out[mask] = 1 + np.maximum(along(second, third, mask), 0)
                mask = self.vertex_part == parts[2][s]
                out[mask] = 1 + along(second, third, mask)
        return arm, leg

    def _vertex_masses(self) -> np.ndarray:
        """(V,) float32 that sum to 1: each part's share of the mass, spread by area over its vertices."""
        a, b, c = (self.mean[self.faces[:, k]] for k in range(3))
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
        mass = np.bincount(self.faces.T.ravel(), np.tile(area, 3), len(self.mean))
        for part, share in _MASS.items():
            mask = self.vertex_part == part
            mass[mask] *= share / mass[mask].sum()
        return (mass / mass.sum()).astype(np.float32)

    def _smoothing_matrix(self):
        """Sparse (V, V): the mean of a vertex and its neighbours, for cloth that bridges hollows."""
        from scipy.sparse import coo_matrix, diags, identity

        i = self.faces[:, [0, 1, 2, 1, 2, 0]].ravel()
        j = self.faces[:, [1, 2, 0, 0, 1, 2]].ravel()
        count = len(self.mean)
        near = coo_matrix((np.ones(len(i), np.float32), (i, j)), (count, count)).tocsr()
        near.data[:] = 1
        near = near + identity(count, format="csr").astype(np.float32)
        return diags(1 / np.asarray(near.sum(1)).ravel()) @ near


@cache
def body_model() -> BodyModel:
    """The one body model of this process."""
    return BodyModel()


@numba.njit(cache=True, fastmath=True, nogil=True)
def _sum_normals(vertices, faces, out):
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = (
            vertices[j, 0] - vertices[i, 0],
            vertices[j, 1] - vertices[i, 1],
            vertices[j, 2] - vertices[i, 2],
        )
        bx, by, bz = (
            vertices[k, 0] - vertices[i, 0],
            vertices[k, 1] - vertices[i, 1],
            vertices[k, 2] - vertices[i, 2],
        )
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz
    for v in range(out.shape[0]):
        length = np.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2) + 1e-12
        for axis in range(3):
            out[v, axis] /= length


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit normals, area-weighted over the faces round each vertex."""
    out = np.zeros((len(vertices), 3), np.float32)
    _sum_normals(np.ascontiguousarray(vertices, np.float32), faces, out)
    return out
