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
    (320, 320),
    "0a6d2a3ecef0ff5e99828b71b26db636e3dba7780b888ee661cd6f338b2a8322",
    {"box AP": 0.500},
)
POSE = DemoModel(
    "demo-pose",
    (96, 128),
    "2b9907f755085d93dd3e39796ab5fbfe63c0526decc876bc216127918bd0e3c9",
    {"AP": 0.312},
)
