"""Turn a training's checkpoint into what ships: averaged weights only, half precision, safetensors.

    python jobs/train_demo/to_safetensors.py WORK/pose/last.pth annotator/models/demo/demo-pose.safetensors

Prints the sha256 that `annotator/models/demo/__init__.py` names.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.models.weights.loading import load_state

if TYPE_CHECKING:
    from torch import Tensor


JOINTS = 17


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    import torch
    from safetensors.torch import save_file

    # mmengine's EMA hook has put the averages into "state_dict", which is what load_state reads.
    state = load_state(options.checkpoint)
    small = {
        name: (without_parts(name, tensor).half() if tensor.dtype == torch.float32 else tensor).contiguous()
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked") and not name.startswith("data_preprocessor.")
    }
    save_file(small, options.out, metadata={"format": "pt"})
    data = options.out.read_bytes()
    print(f"{options.out}: {len(data) / 1e6:.2f} MB, sha256 {hashlib.sha256(data).hexdigest()}")


def without_parts(name: str, tensor: Tensor) -> Tensor:
    """The pose model's last layer without the body parts that only training asks for."""
    return tensor[:JOINTS] if name.startswith("head.final_layer.") else tensor


if __name__ == "__main__":
    main()
