"""Rotations as 3x3 matrices. Angles are degrees; axes are x right of the body, y back, z up."""

from __future__ import annotations

import numpy as np


def about_x(angle: float) -> np.ndarray:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def about_y(angle: float) -> np.ndarray:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def about_z(angle: float) -> np.ndarray:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def about(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation about any axis (3,), by Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    radians = np.radians(angle)
    return np.eye(3) + np.sin(radians) * k + (1 - np.cos(radians)) * (k @ k)


def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest rotation that turns direction `a` into direction `b`."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    if sine < 1e-8:
        return np.eye(3) if a @ b > 0 else about(np.cross(a, [0.3, 0.5, 0.8]), 180)
    return about(axis, float(np.degrees(np.arctan2(sine, a @ b))))


def vector(rotation: np.ndarray) -> np.ndarray:
    """Axis times angle in radians (3,) of a rotation matrix; the inverse of `from_vector`."""
    cosine = np.clip((np.trace(rotation) - 1) / 2, -1, 1)
    angle = np.arccos(cosine)
    if angle < 1e-7:
        return np.zeros(3)
    if angle > np.pi - 1e-4:
        values, vectors = np.linalg.eigh((rotation + rotation.T) / 2)
        return vectors[:, np.argmax(values)] * angle
    skew = rotation - rotation.T
    return np.array([skew[2, 1], skew[0, 2], skew[1, 0]]) / (2 * np.sin(angle)) * angle


def from_vector(v: np.ndarray) -> np.ndarray:
    angle = float(np.linalg.norm(v))
    return np.eye(3) if angle < 1e-9 else about(v, np.degrees(angle))


def blend(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Rotation a fraction `t` of the way from `a` to `b` along the shortest arc."""
    return a @ from_vector(vector(a.T @ b) * t)
