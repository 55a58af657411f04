"""What a model costs: parameters, multiply-accumulates and memory of one crop or image, without running it.

Networks are built on torch's meta device, which knows shapes but holds no numbers, so that the largest takes
neither memory nor time. Figures of the named models ship in `costs.json` (made by `jobs/measure_models.py`).
"""

from __future__ import annotations

import functools
import json
import math
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.errors import UserError
from annotator.models.openmmlab.configs import find_transform, input_size, load_model_config, test_pipeline

if TYPE_CHECKING:
    import torch
    from mmengine.config import Config

    from annotator.models.sources import Kind
    from annotator.models.zoo.catalogue import Entry

SHIPPED = "costs.json"
# Detectors scale photos by their ratio; nearly all cameras give 4:3 or 3:2.
_PHOTO = (640, 480)
# Two-stage detectors look at this many regions of an image at test time.
_REGIONS = 1000


@dataclass(frozen=True, slots=True)
class Cost:
    """Figures of one forward pass of backbone, neck and head, without flip test.

    Attributes:
        params: number of parameters.
        macs: multiply-accumulates of convolutions and matrix products: half of what torch's `FlopCounterMode`
            counts on a CPU; None where the network cannot be traced without numbers.
        attention_macs: those inside of torch's fused attention, which that counter does not see; on top.
        activations: most bytes that live at once besides the parameters, float32, eager, without the
            allocator's slack and the convolution library's workspace; None as `macs`.
        input_size: (width, height) in pixels that all but `params` are for.
    """

    params: int
    macs: int | None
    attention_macs: int | None
    activations: int | None
    input_size: tuple[int, int]

    @property
    def gmacs(self) -> float | None:
        """Multiply-accumulates in 10^9."""
        return None if self.macs is None else self.macs / 1e9

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form, as in `costs.json`."""
        return asdict(self) | {"input_size": list(self.input_size)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cost:
        """The inverse of `to_dict`."""
        width, height = data["input_size"]
        return cls(data["params"], data["macs"], data["attention_macs"], data["activations"], (width, height))


@functools.cache
def shipped() -> Mapping[str, Cost]:
    """The figures that come with the package, by the config's name."""
    text = (files("annotator.models.zoo") / SHIPPED).read_text(encoding="utf-8")
    return {name: Cost.from_dict(data) for name, data in json.loads(text).items()}


def known(entry: Entry) -> Cost | None:
    """The shipped figures of a model of the catalogue, if there are."""
    return shipped().get(entry.name)


def measure(config_path: str | Path, kind: Kind) -> Cost:
    """The cost of the model of a config file; takes seconds, and no memory to speak of.

    Raises:
        UserError: the config cannot be read, the network cannot be built, or has no fixed input size.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    config = load_model_config(config_path, kind)
    size = input_size(config) if kind == "pose" else _detector_input(config)
    if size is None:
        raise UserError(f"{config_path}: the test pipeline does not fix the size of the network's input")
    network: Any = without_storage(config, kind, str(config_path))
    params = sum(parameter.numel() for parameter in network.parameters())
    live = _live_bytes(network)
    attention = _attention()
    counter = FlopCounterMode(display=False, custom_mapping=_deformable())
    try:
        with torch.no_grad(), counter, live, attention:
            _forward(network, torch.zeros(1, 3, size[1], size[0], device="meta"))
    except (NotImplementedError, RuntimeError, AttributeError, TypeError):
        # An operation that reads numbers, or a kind of detector that is not taken apart here.
        return Cost(params, None, None, None, size)
    # On the meta device, attention is not fused and the counter sees it.
    macs = counter.get_total_flops() // 2 - attention.macs
    return Cost(params, macs, attention.macs, live.peak, size)


def without_storage(config: Config, kind: Kind, path: str) -> torch.nn.Module:
    """The network of a config on the meta device, in evaluation mode: shapes without numbers.

    Raises:
        UserError: it cannot be built.
    """
    import torch

    from annotator.models.openmmlab.build import build_network

    class NumbersStayReal(torch.overrides.TorchFunctionMode):
        """Building reads schedules such as `linspace(0, rate, depth)` as numbers: those need storage."""

        def __torch_function__(self, func, types, args=(), kwargs=None):
            kwargs = dict(kwargs or {})
            if func is torch.linspace:
                kwargs["device"] = "cpu"
            return func(*args, **kwargs)

    with torch.device("meta"), NumbersStayReal():
        network = build_network(config, kind, path)
    return network.to("meta").eval()


def _forward(network: Any, pixels: torch.Tensor) -> None:
    import torch

    features = network.extract_feat(pixels)
    if hasattr(network, "head"):
        if hasattr(network.head, "iia_module"):
            # CID: which people are decoded depends on numbers; what comes on top for each is little.
            network.head.iia_module.keypoint_root_conv(features[-1])
        else:
            network.head(features)
    elif hasattr(network, "rpn_head"):
        network.rpn_head(features)
        head = network.roi_head.bbox_head
        side = head.roi_feat_size
        head(torch.zeros(_REGIONS, head.in_channels, *side, device="meta"))
    else:
        network.bbox_head(features)


def _detector_input(config: Config) -> tuple[int, int] | None:
    """(width, height) that the test pipeline makes of a 4:3 photo, padded to multiples of 32."""
    pipeline = test_pipeline(config)
    pad = find_transform(pipeline, "Pad")
    if pad is not None and pad.get("size"):
        return int(pad["size"][0]), int(pad["size"][1])
    resize = find_transform(pipeline, "Resize")
    if resize is None or not isinstance(resize.get("scale"), list | tuple):
        return None
    long, short = max(resize["scale"]), min(resize["scale"])
    if pad is not None and pad.get("pad_to_square"):
        return long, long
    factor = min(long / max(_PHOTO), short / min(_PHOTO))
    width, height = (math.ceil(side * factor / 32) * 32 for side in _PHOTO)
    return width, height


def _deformable() -> dict[Any, Any]:
    """How to count what torch's counter does not know: DEKR's deformable convolution."""
    import torch
    import torchvision  # noqa: F401 - registers the operation

    def flops(x: list[int], weight: list[int], *rest: Any, out_shape: list[int], **named: Any) -> int:
        return 2 * math.prod(out_shape) * math.prod(weight[1:])

    return {torch.ops.torchvision.deform_conv2d: flops}


def _attention() -> Any:
    """A mode that counts the multiply-accumulates of `scaled_dot_product_attention`, in `.macs`."""
    import torch
    from torch.nn import functional

    class Attention(torch.overrides.TorchFunctionMode):
        macs = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is functional.scaled_dot_product_attention:
                query, key, value = args[:3]
                self.macs += query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])
            return func(*args, **(kwargs or {}))

    return Attention()


def _live_bytes(network: torch.nn.Module) -> Any:
    """A mode that adds up the storage of tensors made under it, as long as they live; `.peak` in bytes."""
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.weak import WeakIdKeyDictionary

    class LiveBytes(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.now = self.peak = 0
            self._seen = WeakIdKeyDictionary()
            for tensor in (*network.parameters(), *network.buffers()):
                self._seen[tensor.untyped_storage()] = True

        def _release(self, size: int) -> None:
            self.now -= size

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            for tensor in tree_leaves(result):
                if not isinstance(tensor, Tensor):
                    continue
                storage = tensor.untyped_storage()
                if storage in self._seen:
                    continue
                size = storage.nbytes()
                self._seen[storage] = True
                weakref.finalize(storage, self._release, size)
                self.now += size
                self.peak = max(self.peak, self.now)
            return result

    return LiveBytes()
