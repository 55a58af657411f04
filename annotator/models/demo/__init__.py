"""The two small models that ship with the project: configs, weights as safetensors, and their model card.

How they are trained is in `jobs/train_demo`; how any model is found, built and run is in `annotator.models`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class DemoModel:
    """A config and its weights, both inside the package.

    Attributes:
        name: in the catalogue.
        input_size: (width, height) in pixels.
        sha256: of the weights' bytes, hex.
        figures: on held-out synthetic pictures, as in MODEL_CARD.md.
    """

    name: str
    input_size: tuple[int, int]
    sha256: str
    figures: Mapping[str, float]

    @property
    def config(self) -> Path:
        """The config of MMDetection or MMPose."""
        return _HERE / f"{self.name}.py"

    @property
    def weights(self) -> Path:
        """The weights, safetensors."""
        return _HERE / f"{self.name}.safetensors"


DETECTOR = DemoModel(
    "demo-detector",
    (416, 416),
    "6f7414dd4b5b5ec5fd5d4e6416d2744f9bd4e23646e121d7b5de5452d5e6c514",
    {"box AP": 0.577},
)
POSE = DemoModel(
    "demo-pose",
    (96, 128),
    "6c727cf9af2a26dd49b5461fa627a0e136edc6d985df2ca965d72409f6dc67bc",
    {"AP": 0.408},
)
