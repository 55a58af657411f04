"""A scene to pixels, and to the buffers that say what every sample shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from annotator.synth.background import Background
from annotator.synth.body import body_model, vertex_normals
from annotator.synth.camera import Camera
from annotator.synth.light import Light, ShadowMap, shade
from annotator.synth.noise import noise
from annotator.synth.paint import Paint, paint_body, paint_garment
from annotator.synth.raster import fill, interpolate
from annotator.synth.scene import Prop, Scene
from annotator.synth.vectors import f32

SUPERSAMPLING = 2
NOBODY = -1


@dataclass(frozen=True)
class Frame:
    """What was drawn, at `SUPERSAMPLING` samples a pixel and side.

    Attributes:
        pixels: (H, W, 3) float32, before the camera's own effects.
        owner: (h, w) int16, index of the person in the scene, -1 for things and background.
        part: (h, w) int8, body part of the sample, -1 elsewhere.
        inverse_depth: (h, w) float32, 1 / metres, 0 where nothing was drawn.
    """

    pixels: np.ndarray
    owner: np.ndarray
    part: np.ndarray
    inverse_depth: np.ndarray


class _Surface(NamedTuple):
    vertices: np.ndarray
    faces: np.ndarray
    owner: int
    garment: int  # -1 the body itself, -2 a prop
    prop: Prop | None


_BODY, _PROP = -1, -2


def render(scene: Scene) -> Frame:
    """Draw the scene. Deterministic: nothing here is random."""
    camera = scene.camera.supersampled(SUPERSAMPLING)
    surfaces = _surfaces(scene)
    inverse_depth = np.zeros((camera.height, camera.width), np.float32)
    face_ids = np.full((camera.height, camera.width), -1, np.int32)
    starts = np.cumsum([0] + [len(s.faces) for s in surfaces])
    for start, surface in zip(starts, surfaces, strict=False):
        fill(camera.project(surface.vertices), surface.faces, int(start), inverse_depth, face_ids)
    owner = np.full(face_ids.shape, NOBODY, np.int16)
    part = np.full(face_ids.shape, -1, np.int8)
    pixels = scene.background.pixels
    if surfaces:
        meshes = [(s.vertices, s.faces) for s in surfaces]
        sun = ShadowMap(scene.light.direction, meshes)
        sky = ShadowMap(np.array([0.08, 0.05, 0.99], np.float32), meshes, 256)
        radiance = np.zeros((*face_ids.shape, 3), np.float32)
        drawn = np.flatnonzero(face_ids >= 0)
        order = drawn[np.argsort(face_ids.ravel()[drawn], kind="stable")]
        bounds = np.searchsorted(face_ids.ravel()[order], starts)
        for i, surface in enumerate(surfaces):
            where = order[bounds[i] : bounds[i + 1]]
            if not len(where):
                continue
            owner.ravel()[where] = surface.owner
            local = face_ids.ravel()[where] - np.int32(starts[i])
            rays = camera.rays_at(where)
            positions = f32(camera.position) + rays / inverse_depth.ravel()[where][:, None]
            color, parts = _shade_surface(scene, surface, local, positions, rays, sun, sky)
            radiance.reshape(-1, 3)[where] = color
            part.ravel()[where] = parts
        shadowed = _with_ground_shadows(scene.background, scene.camera, scene.light, sun, sky)
        covered = (face_ids >= 0).astype(np.float32)
        size = (scene.camera.width, scene.camera.height)
        alpha = cv2.resize(covered, size, interpolation=cv2.INTER_AREA)[..., None]
        pixels = shadowed * (1 - alpha) + cv2.resize(radiance, size, interpolation=cv2.INTER_AREA)
    return Frame(pixels, owner, part, inverse_depth)


def _surfaces(scene: Scene) -> list[_Surface]:
    body = body_model()
    out = []
    for i, placed in enumerate(scene.people):
        out.append(_Surface(placed.vertices, body.faces, i, _BODY, None))
        for g, vertices in enumerate(placed.hanging):
            out.append(_Surface(vertices, placed.person.garments[g].faces, i, g, None))
    out += [_Surface(p.vertices, p.faces, NOBODY, _PROP, p) for p in scene.props]
    return out


def _shade_surface(
    scene: Scene,
    surface: _Surface,
    local: np.ndarray,
    positions: np.ndarray,
    rays: np.ndarray,
    sun: ShadowMap,
    sky: ShadowMap,
) -> tuple[np.ndarray, np.ndarray]:
    """Radiance (N, 3) and body part (N,) of the samples that show this surface."""
    body = body_model()
    normals = vertex_normals(surface.vertices, surface.faces)
    placed = scene.people[surface.owner] if surface.owner != NOBODY else None
    if placed is not None and surface.garment == _BODY:
        coordinates = np.concatenate([body.mean, body.arm[:, None], body.leg[:, None]], 1)
    elif placed is not None:
        coordinates = placed.person.garments[surface.garment].vertices
    else:
        coordinates = surface.vertices
    attributes = np.concatenate([normals, coordinates], 1).astype(np.float32)
    values = np.empty((len(local), attributes.shape[1]), np.float32)
    interpolate(positions, local, surface.vertices, surface.faces, attributes, values)
    normals, points = values[:, :3], np.ascontiguousarray(values[:, 3:6])
    seed = 0.0
    if placed is not None and surface.garment == _BODY:
        outfit, seed = placed.person.outfit, placed.person.outfit.seed
        paint = paint_body(points, values[:, 6:8], local, outfit)
        parts = body.face_part[local].astype(np.int8)
    elif placed is not None:
        garment, outfit = placed.person.garments[surface.garment], placed.person.outfit
        seed = outfit.seed
        paint = paint_garment(garment.kind, outfit, points)
        parts = np.full(len(local), garment.part, np.int8)
    else:
        assert surface.prop is not None
        albedo = surface.prop.pattern.paint(points) * (1 + 0.08 * noise(points, 6, 3))[:, None]
        zeros = np.zeros(len(local), np.float32)
        paint, parts = Paint(albedo.astype(np.float32), zeros, zeros + 0.06), np.full(len(local), -1, np.int8)

    views = -rays / np.linalg.norm(rays, axis=1, keepdims=True)
    normals = normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9)
    if surface.garment != _BODY:  # thin sheets show their inside
        normals = np.where((normals * views).sum(1, keepdims=True) < 0, -normals, normals)
    rough = np.flatnonzero(paint.bump > 0.1)
    if len(rough):
        folds = points[rough] * f32([1.0, 1.0, 0.6])
        tilt = np.stack([noise(folds + np.float32(9.1 * k + seed), 11, 2) for k in range(3)], 1)
        normals[rough] += tilt * paint.bump[rough][:, None]
        normals[rough] /= np.linalg.norm(normals[rough], axis=1, keepdims=True) + 1e-9
    lifted = positions + normals * 0.015
    lit = sun.light(lifted)
    open_sky = 0.55 + 0.45 * sky.light(lifted, bias=0.05, softness=sky.texels(0.12))
    return shade(scene.light, normals, views, paint.albedo, paint.gloss, lit, open_sky), parts


def _with_ground_shadows(
    background: Background, camera: Camera, light: Light, sun: ShadowMap, sky: ShadowMap
) -> np.ndarray:
    """The background with the shadows of sun and sky on its ground."""
    if not background.ground.any():
        return background.pixels
    rays = camera.rays_at(np.flatnonzero(background.ground))
    depth = -camera.position[2] / np.minimum(rays[:, 2], -1e-4)
    near = depth < 60
    points = (f32(camera.position) + rays * depth[:, None]).astype(np.float32)
    dim = np.ones(len(points), np.float32)
    total = light.strength + light.ambient
    cast = (1 - sun.light(points[near], 0.02)) * 0.85 * light.strength / total
    contact = (1 - sky.light(points[near], 0.02, sky.texels(0.16))) * 0.6 * light.ambient / total
    dim[near] = (1 - cast) * (1 - contact)
    shadow = np.ones(background.ground.shape, np.float32)
    shadow[background.ground] = dim
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(0.6, 1.5 * camera.width / 640))
    return background.pixels * shadow[..., None]
