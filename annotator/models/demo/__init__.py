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
    (480, 480),
    "c4109e0c05e597457ca1709aa30d1a805790dfed4ccf4fafa4947bcad2058fe8",
    {"box AP": 0.601},
)
POSE = DemoModel(
    "demo-pose",
    (128, 160),
    "1e30645185f21915e76db3df29620ce4a2beb3902205eb4543a87f9002070887",
    {"AP": 0.628},
)
