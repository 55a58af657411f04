"""From raw keypoint scores to probabilities that a joint is right: isotonic regression by type of joint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotator.errors import UserError
from annotator.skeletons import Skeleton
from annotator.store.visibility import EVIDENCE, Evidence

FORMAT = "pose-annotator calibration"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `annotator calibrate` writes and `annotator run --calibration` applies.

    Attributes:
        keypoints: K joint names, in the order of the model's output.
        curves: for each joint the scores and probabilities between which to interpolate, both ascending.
        pose_model: name and sha256 of the weights that the scores are of.
        about: what it was fitted on and how good it is; for people.
        visibility: the policy `evidence` with the weights of this model; None where it was not fitted.
        sha256: of the file that it was read from, hex; "" where there is none.
    """

    keypoints: tuple[str, ...]
    curves: tuple[tuple[np.ndarray, np.ndarray], ...]
    pose_model: Mapping[str, Any]
    about: Mapping[str, Any]
    visibility: Evidence | None = None
    sha256: str = ""

    def __call__(self, keypoint_scores: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) float32 in [0, 1] of raw scores (N, K)."""
        probs = np.empty(keypoint_scores.shape, np.float32)
        for joint, (scores, values) in enumerate(self.curves):
            probs[:, joint] = np.interp(keypoint_scores[:, joint], scores, values)
        return probs

    def check(self, skeleton: Skeleton, weights_sha256: str | None) -> None:
        """Refuse a calibration of other joints or of another model: its numbers would mean nothing.

        Raises:
            UserError: it does not belong to this model.
        """
        if self.keypoints != skeleton.keypoints:
            raise UserError(
                f"--calibration is of {len(self.keypoints)} joints ({', '.join(self.keypoints[:3])} ...); "
                f"this model has {len(skeleton)} ({', '.join(skeleton.keypoints[:3])} ...)"
            )
        self.check_model(weights_sha256)

    def check_model(self, weights_sha256: str | None) -> None:
        """The part of `check` that needs no model to be built.

        Raises:
            UserError: it is of other weights.
        """
        if self.pose_model["sha256"] != weights_sha256:
            raise UserError(
                f"--calibration was fitted for {self.pose_model['name']} with other weights "
                f"(sha256 {str(self.pose_model['sha256'])[:12]}, here {str(weights_sha256)[:12]}): scores of "
                "different models do not compare. Fit one with `annotator calibrate` on a run of this model"
            )

    def to_json(self) -> str:
        """The file's text."""
        body = {
            "format": FORMAT,
            "version": VERSION,
            "keypoints": list(self.keypoints),
            "pose_model": dict(self.pose_model),
            "about": dict(self.about),
            "curves": {
                name: {"scores": scores.tolist(), "probs": probs.tolist()}
                for name, (scores, probs) in zip(self.keypoints, self.curves, strict=True)
            },
        }
        if self.visibility is not None:
            body["visibility"] = {
                "evidence": list(EVIDENCE),
                "mean": self.visibility.mean.tolist(),
                "spread": self.visibility.spread.tolist(),
                "weights": dict(zip(self.keypoints, self.visibility.weights.tolist(), strict=True)),
                "about": dict(self.visibility.about),
                "skeleton": self.visibility.skeleton.to_dict(),
            }
        return json.dumps(body, indent=1) + "\n"


def read_calibration(path: str | Path) -> Calibration:
    """Read a calibration file.

    Raises:
        UserError: unreadable, or not a calibration.
    """
    try:
        data = Path(path).read_bytes()
        body = json.loads(data)
        if body["format"] != FORMAT or body["version"] != VERSION:
            raise ValueError(f"{body['format']} {body['version']}")
        keypoints = tuple(body["keypoints"])
        curves = tuple(_curve(body["curves"][name]) for name in keypoints)
        visibility = _evidence(body["visibility"]) if body.get("visibility") else None
        digest = hashlib.sha256(data).hexdigest()
        return Calibration(keypoints, curves, body["pose_model"], body["about"], visibility, digest)
    except OSError as error:
        raise UserError(f"cannot read the calibration {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"{path} is not a calibration of version {VERSION} ({type(error).__name__}: {error}); "
            "`annotator calibrate` writes one"
        ) from None


def _evidence(body: Mapping[str, Any]) -> Evidence:
    if tuple(body["evidence"]) != EVIDENCE:
        raise ValueError("its visibility is fitted on other evidence than this version has")
    skeleton = Skeleton.from_dict(body["skeleton"])
    weights = np.array([body["weights"][name] for name in skeleton.keypoints], np.float64)
    mean, spread = (np.array(body[name], np.float64) for name in ("mean", "spread"))
    if weights.shape != (len(skeleton), len(EVIDENCE) + 1, 3) or mean.shape != spread.shape:
        raise ValueError("its visibility weights have another shape")
    return Evidence(skeleton, mean, spread, weights, body["about"])


def _curve(body: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    scores, probs = np.array(body["scores"], np.float64), np.array(body["probs"], np.float64)
    if scores.shape != probs.shape or scores.ndim != 1 or not len(scores):
        raise ValueError("a curve needs as many scores as probs")
    if (np.diff(scores) < 0).any() or (np.diff(probs) < 0).any() or probs[0] < 0 or probs[-1] > 1:
        raise ValueError("a curve must ascend, with probs in [0, 1]")
    return scores, probs
