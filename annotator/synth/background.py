"""What is behind the people: rooms, streets, fields, studios, photographs, and clutter without meaning."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from annotator.synth.camera import Camera
from annotator.synth.ground import sample_texture
from annotator.synth.noise import noise, noise_image
from annotator.synth.pattern import cloth_color, random_color
from annotator.synth.photos import random_crop
from annotator.synth.vectors import f32

_KINDS = ("room", "street", "nature", "photo", "clutter", "studio")
_RATES = (0.32, 0.18, 0.2, 0.14, 0.1, 0.06)


@dataclass(frozen=True)
class Background:
    """`pixels` (H, W, 3) float32 radiance; `ground` (H, W) bool, where z = 0 is seen and takes shadows."""

    pixels: np.ndarray
    ground: np.ndarray
    kind: str


def sample_background(rng: np.random.Generator, camera: Camera, kind: str | None = None) -> Background:
    """A background for this camera; floors and horizons obey its perspective."""
    kind = kind or str(rng.choice(_KINDS, p=_RATES))
    none = np.zeros((camera.height, camera.width), bool)
    if kind == "photo":
        pixels = random_crop(rng, camera.width, camera.height)
        ground = none
    elif kind == "clutter":
        pixels, ground = _clutter(rng, camera.width, camera.height), none
    elif kind == "room":
        pixels, ground = _room(rng, camera)
    elif kind == "studio":
        pixels, ground = _studio(rng, camera)
    else:
        pixels, ground = _outdoors(rng, camera, kind)
    # Out of focus behind the people, as in many portraits.
    blur = float(rng.choice([0, 0.6, 1.5, 3.5, 7], p=[0.4, 0.2, 0.18, 0.14, 0.08])) * camera.width / 640
    if blur:
        pixels = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), blur)
    return Background(np.clip(pixels, 0, 1.3).astype(np.float32), ground, kind)


def _floor(rng: np.random.Generator, camera: Camera, rays: np.ndarray, where: str, far: np.ndarray):
    """Colours of the plane z = 0, and where it is seen nearer than `far` (H, W) metres deep."""
    down = np.minimum(rays[..., 2], -1e-4)
    depth = np.where(rays[..., 2] < -1e-4, -camera.position[2] / down, 1e9)
    seen = depth < far
    t = depth[seen][:, None]
    points = f32(camera.position) + rays[seen] * t
    slant = np.maximum(-rays[seen][:, 2], 1e-3)
    footprint = t[:, 0] / camera.focal / np.sqrt(slant)
    pixels = np.zeros((*seen.shape, 3), np.float32)
    pixels[seen] = sample_texture(rng, where)(points[:, 0], points[:, 1], footprint)
    return pixels, seen, depth


def _room(rng: np.random.Generator, camera: Camera):
    rays = camera.rays()
    wall_y = rng.uniform(4.5, 13)
    turned = np.radians(rng.uniform(-35, 35) if rng.random() < 0.6 else 0)
    # Two walls that meet in a corner, each a vertical plane given by its normal and distance.
    planes = [(np.sin(turned), np.cos(turned), wall_y)]
    side = rng.choice([-1, 1])
    planes.append((side * np.cos(turned), -side * np.sin(turned), rng.uniform(2.5, 8)))
    depth = np.full(rays.shape[:2], 1e9)
    which = np.zeros(rays.shape[:2], int)
    for i, (nx, ny, distance) in enumerate(planes):
        along = rays[..., 0] * nx + rays[..., 1] * ny
        reach = (distance - camera.position[0] * nx - camera.position[1] * ny) / np.maximum(along, 1e-4)
        reach = np.where(along > 1e-4, reach, 1e9)
        which = np.where(reach < depth, i, which)
        depth = np.minimum(depth, reach)
    pixels, ground, _ = _floor(rng, camera, rays, "indoor", depth)
    ceiling = rng.uniform(2.5, 4.5)
    paint = sample_texture(rng, "wall")
    for i, (nx, ny, _) in enumerate(planes):
        mask = (which == i) & ~ground
        if not mask.any():
            continue
        t = np.minimum(depth[mask], 60)
        points = f32(camera.position) + rays[mask] * t[:, None]
        u, z = points[:, 0] * ny - points[:, 1] * nx, points[:, 2]
        color = paint(u, z, t / camera.focal) * (1.0 if i == 0 else rng.uniform(0.7, 0.95))
        _decorate(rng, color, u, z)
        color[z > ceiling] = np.float32(rng.uniform(0.7, 0.95))
        color[(z < 0.1) & (z > 0)] *= 0.6
        pixels[mask] = color
    falloff = 1 - 0.25 * noise_image((camera.height, camera.width), 2, 1, rng.uniform(0, 90))
    return pixels * np.clip(falloff, 0.6, 1.25)[..., None], ground


def _decorate(rng: np.random.Generator, color: np.ndarray, u: np.ndarray, z: np.ndarray) -> None:
    """Pictures, windows, doors, shelves and curtains on a wall; colours (N, 3) change in place."""
    for _ in range(rng.integers(0, 9)):
        kind = rng.choice(["picture", "window", "door", "shelf", "curtain"])
        x, half = rng.uniform(-7, 7), rng.uniform(0.2, 1.0)
        low, high = {"door": (0.0, 2.05), "shelf": (0.0, rng.uniform(0.8, 2.2)), "curtain": (0.1, 2.6)}.get(
            str(kind), (lambda m, h: (m - h, m + h))(rng.uniform(1.2, 2), rng.uniform(0.2, 0.7))
        )
        inside = (np.abs(u - x) < half) & (z > low) & (z < high)
        if not inside.any():
            continue
        a, b = (u[inside] - x + half) / (2 * half), (z[inside] - low) / (high - low)
        if kind == "picture":
            art = random_crop(rng, 96, 96, 0.2)
            color[inside] = art[((1 - b) * 95).astype(int), (a * 95).astype(int)]
        elif kind == "window":
            sky = f32([0.85, 0.92, 1.0]) * rng.uniform(0.8, 1.25)
            bars = (a % 0.5 < 0.05) | (b % 0.5 < 0.04)
            color[inside] = np.where(bars[:, None], np.float32(0.8), sky * (0.7 + 0.3 * b[:, None]))
        elif kind == "shelf":
            cell = np.floor(a * 18) * 7.1 + np.floor(b * 6) * 31.7
            hue = np.stack([np.sin(cell * k) * 0.5 + 0.5 for k in (1.0, 1.7, 2.3)], 1) * 0.6 + 0.15
            board = b * 6 % 1 < 0.1
            color[inside] = np.where(board[:, None], cloth_color(rng), hue * (b * 6 % 1 < 0.8)[:, None])
        elif kind == "curtain":
            color[inside] = cloth_color(rng) * (0.75 + 0.25 * np.sin(a * rng.uniform(20, 60)))[:, None]
        else:
            color[inside] = cloth_color(rng) * (1 - 0.2 * ((a < 0.06) | (a > 0.94)))[:, None]
        frame = inside & ((np.abs(u - x) > half - 0.04) | (z > high - 0.04))
        if kind in ("picture", "door", "window"):
            color[frame] *= rng.uniform(0.3, 1.1)


def _outdoors(rng: np.random.Generator, camera: Camera, kind: str):
    rays = camera.rays()
    shape = rays.shape[:2]
    pixels, ground, depth = _floor(rng, camera, rays, "outdoor", np.full(shape, 400.0))
    unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    rise = unit[..., 2]
    sky = _sky(rng, unit)
    azimuth = np.arctan2(rays[..., 0], rays[..., 1]).astype(np.float32)
    pixels = np.where(ground[..., None], pixels, sky)
    for distance in sorted(rng.uniform(0.3, 1.0, rng.integers(1, 4)), reverse=True):
        if kind == "street" and rng.random() < 0.75:
            _buildings(rng, pixels, ground, azimuth, rise, distance)
        else:
            _trees(rng, pixels, ground, azimuth, rise, distance)
    haze = np.clip(depth / rng.uniform(60, 400), 0, 0.8)[..., None] * ground[..., None]
    pixels = pixels * (1 - haze) + f32([0.78, 0.82, 0.86]) * haze
    return pixels, ground


def _sky(rng: np.random.Generator, unit: np.ndarray) -> np.ndarray:
    height = np.clip(unit[..., 2] * 2.2, 0, 1)[..., None]
    zenith = f32([0.35, 0.55, 0.9]) * rng.uniform(0.5, 1.1)
    horizon = f32([0.85, 0.88, 0.92]) * rng.uniform(0.65, 1.1)
    if rng.random() < 0.15:
        horizon = f32([1.0, 0.7, 0.5]) * rng.uniform(0.6, 1.0)
    if rng.random() < 0.3:
        zenith = horizon * rng.uniform(0.75, 1.05)
    where = np.stack([unit[..., 0] * 3, unit[..., 2] * 9, unit[..., 1] * 3], -1).reshape(-1, 3)
    clouds = noise(where + rng.uniform(0, 90), 1.3, 4).reshape(unit.shape[:2])
    return horizon * (1 - height) + zenith * height + 0.25 * np.clip(clouds - 0.1, 0, 1)[..., None]


def _buildings(rng, pixels, ground, azimuth, rise, distance) -> None:
    column = azimuth * rng.uniform(3, 9) / distance + rng.uniform(0, 100)
    lot = np.floor(column)
    top = (np.abs(np.sin(lot * 91.7)) * 0.5 + 0.12) * rng.uniform(0.4, 1.3) * (1.3 - distance)
    mask = (~ground) & (rise < top)
    tone = (0.7 + 0.5 * np.abs(np.sin(lot * 37.1)))[..., None] * (cloth_color(rng) * 0.5 + 0.3)
    tone = tone * (1 + 0.1 * np.sin(lot[..., None] * f32([1.3, 2.1, 3.7])))
    panes = ((column * rng.integers(4, 9)) % 1 < 0.55) & ((rise * rng.uniform(25, 70)) % 1 < 0.55)
    tone = np.where(panes[..., None], tone * rng.uniform(0.4, 0.7), tone)
    pixels[mask] = tone[mask]


def _trees(rng, pixels, ground, azimuth, rise, distance) -> None:
    spot = np.stack([azimuth * 8, np.zeros_like(azimuth), np.full_like(azimuth, rng.uniform(0, 90))], -1)
    edge = noise(spot.reshape(-1, 3), 1.0, 5).reshape(azimuth.shape)
    top = rng.uniform(0.0, 0.25) + rng.uniform(0.04, 0.12) * edge
    mask = (~ground) & (rise < top)
    leaf = np.stack([azimuth, rise, np.full_like(azimuth, rng.uniform(0, 9))], -1)[mask]
    color = f32([0.17, 0.27, 0.1]) * rng.uniform(0.5, 1.8) * rng.uniform(0.8, 1.2, 3)
    if rng.random() < 0.2:
        color = f32([0.45, 0.5, 0.55]) * rng.uniform(0.7, 1.3)  # far hills
    texture = 1 + 0.5 * noise(leaf, rng.uniform(20, 60), 3)[:, None]
    pixels[mask] = color * np.clip(texture, 0.25, 2)


def _studio(rng: np.random.Generator, camera: Camera):
    h, w = camera.height, camera.width
    a, b = cloth_color(rng), cloth_color(rng)
    if rng.random() < 0.5:
        b = a * rng.uniform(0.5, 1.3)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    t = y / h if rng.random() < 0.5 else np.hypot(y / h - 0.5, x / w - rng.uniform(0.3, 0.7)) * 1.2
    t = np.clip(t, 0, 1)[..., None]
    pixels = a * (1 - t) + b * t
    rays = camera.rays()
    down = rays[..., 2] < -1e-3
    depth = np.where(down, -camera.position[2] / np.minimum(rays[..., 2], -1e-3), 1e9)
    return pixels.astype(np.float32), depth < 30


def _clutter(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Overlapping shapes of all sizes, the "dead leaves" that resemble photographs (Lee et al. 2001)."""
    texture = random_crop(rng, width, height, 0.5)
    image = (
        noise_image((height, width), 4, 4, rng.uniform(0, 90))[..., None] * 0.15 + cloth_color(rng)
    ).astype(np.float32)
    vivid = rng.random() < 0.3
    count = int(rng.integers(40, 260))
    radii = np.sort(np.minimum(0.35, 0.02 * rng.pareto(1.6, count) + 0.012))[::-1] * max(width, height)
    for radius in radii:
        color = random_color(rng) if vivid else cloth_color(rng) * rng.uniform(0.5, 1.1)
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        mask = np.zeros((height, width), np.uint8)
        angle = float(rng.uniform(0, 180))
        if rng.random() < 0.5:
            axes = (max(1, int(radius)), max(1, int(radius * rng.uniform(0.25, 1))))
            cv2.ellipse(mask, (int(x), int(y)), axes, angle, 0, 360, 1, -1)
        else:
            corners = cv2.boxPoints(((x, y), (2 * radius, 2 * radius * rng.uniform(0.15, 1)), angle))
            cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
        x0, y0, w, h = cv2.boundingRect(mask)
        if w == 0 or h == 0:
            continue
        window = (slice(y0, y0 + h), slice(x0, x0 + w))
        inside = mask[window] > 0
        ramp = np.linspace(rng.uniform(0.7, 1), rng.uniform(0.9, 1.2), w, dtype=np.float32)[None, :, None]
        fill = np.broadcast_to(color * ramp, (h, w, 3))
        if rng.random() < 0.35:
            fill = texture[window] * (0.4 + color)
        image[window][inside] = fill[inside]
    return image
