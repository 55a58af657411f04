"""The decoder that belongs to a model's codec: a batch of network outputs -> keypoints and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from annotator.errors import UserError
from annotator.pose.entropy import heatmap_entropy, simcc_entropy
from annotator.pose.heatmaps import MegviiHeatmaps, MSRAHeatmaps, UDPCombined, UDPHeatmaps
from annotator.pose.regression import Regression
from annotator.pose.simcc import SimCC

Outputs = Tensor | np.ndarray | Sequence[Any]
"""What a head's `forward` (or an exported network) returns: one array, or several in a list or tuple."""


@dataclass(frozen=True)
class Decoder:
    """Decodes one kind of output.

    Attributes:
        kind: "heatmap", "udp_combined", "simcc" or "regression": what the outputs are.
        decode: the arithmetic, with its parameters bound: float32 tensors -> keypoints and scores.
        beta: of SimCC: what the outputs are multiplied with to be logits of distributions.
    """

    kind: str
    decode: Callable[..., tuple[Tensor, Tensor]]
    beta: float = 1.0

    def __call__(self, outputs: Outputs) -> tuple[Any, Any]:
        """Decode what the head's `forward` returned, or what `flip.merge` made of it.

        Args:
            outputs: torch tensors or numpy arrays of any float type.
                heatmap: (N, K, H, W), or a list of those of which the last stage counts.
                udp_combined: (N, 3K, H, W).
                simcc: x (N, K, Wx) and y (N, K, Wy).
                regression: (N, K, 2), or (N, K, 4) with logits of sigma; of several outputs the first.

        Returns:
            keypoints: (N, K, 2) float32, pixels of the network's input; always finite.
            scores: (N, K) float32, MMPose's own; always finite: 0 where the network's output was not.
            Both numpy for numpy, else tensors on the outputs' device.
        """
        arrays = select(outputs, self.kind)
        tensors = [as_float32(a).contiguous() for a in arrays]
        with torch.no_grad():
            keypoints, scores = self.decode(*tensors)
        if isinstance(arrays[0], np.ndarray):
            return keypoints.numpy(), scores.numpy()
        return keypoints, scores

    def entropies(self, outputs: Outputs) -> Tensor | None:
        """Entropy of what each joint was decoded from, (N, K) float32, nats; None for coordinates."""
        tensors = [as_float32(a).contiguous() for a in select(outputs, self.kind)]
        if self.kind == "regression":
            return None
        if self.kind == "simcc":
            return simcc_entropy(tensors[0], tensors[1], self.beta)
        return heatmap_entropy(tensors[0][:, ::3] if self.kind == "udp_combined" else tensors[0])


def select(outputs: Outputs, kind: str) -> tuple[Any, ...]:
    """Those of a head's outputs that are decoded: x and y of SimCC, else one array."""
    if kind == "simcc":
        x, y = outputs
        return x, y
    if isinstance(outputs, Tensor | np.ndarray):
        return (outputs,)
    # Heads with several stages return all of them; integral regression returns coordinates, then heatmaps.
    return (outputs[0],) if kind == "regression" else (outputs[-1],)


def as_float32(array: Tensor | np.ndarray) -> Tensor:
    """An array of any float type as a float32 tensor, without its gradients; numpy's on the CPU."""
    tensor = (
        torch.from_numpy(np.ascontiguousarray(array)) if isinstance(array, np.ndarray) else array.detach()
    )
    return tensor.float()


def make_decoder(
    codec_cfg: Mapping[str, Any] | Sequence[Any], head_cfg: Mapping[str, Any] | None = None
) -> Decoder:
    """The decoder of a model.

    Args:
        codec_cfg: the codec of the config (`head.decoder`): dict(type="UDPHeatmap", input_size=...). Of a
            list, as multi-stage models have it, the last.
        head_cfg: the head of the config, to be named in errors; of SimCC also for `beta` of its loss.

    Raises:
        UserError: the codec is not one of a top-down model, or its parameters make no sense.
    """
    if not isinstance(codec_cfg, Mapping):
        codec_cfg = codec_cfg[-1]
    cfg: Mapping[str, Any] = codec_cfg  # type: ignore[assignment]
    # Registries may write the scope before the name: "mmpose.UDPHeatmap".
    name = str(cfg.get("type", "")).rpartition(".")[2]
    make = _CODECS.get(name)
    if make is None:
        head = f" of {head_cfg['type']}" if head_cfg and "type" in head_cfg else ""
        raise UserError(
            f"no decoder for the codec {name or '(none)'!r}{head}: top-down models with one of "
            f"{', '.join(sorted(_CODECS))} can be decoded"
        )
    decoder = make(cfg)
    loss = (head_cfg or {}).get("loss")
    beta = loss.get("beta", 1.0) if isinstance(loss, Mapping) else 1.0
    return replace(decoder, beta=float(beta)) if decoder.kind == "simcc" else decoder


def _msra(cfg: Mapping[str, Any]) -> Decoder:
    unbiased = bool(cfg.get("unbiased", False))
    kernel = _odd(cfg.get("blur_kernel_size", 11), "blur_kernel_size") if unbiased else 11
    scheme = MSRAHeatmaps(_pair(cfg, "input_size"), _pair(cfg, "heatmap_size"), unbiased, kernel)
    return Decoder("heatmap", scheme.decode)


def _udp(cfg: Mapping[str, Any]) -> Decoder:
    sizes = _pair(cfg, "input_size"), _pair(cfg, "heatmap_size")
    kernel = int(cfg.get("blur_kernel_size", 11))
    kind = cfg.get("heatmap_type", "gaussian")
    if kind == "combined":
        combined = UDPCombined(*sizes, float(cfg.get("radius_factor", 0.0546875)), kernel)
        return Decoder("udp_combined", combined.decode)
    if kind != "gaussian":
        raise UserError(f"UDPHeatmap has heatmap_type {kind!r}: it must be 'gaussian' or 'combined'")
    return Decoder("heatmap", UDPHeatmaps(*sizes, _odd(kernel, "blur_kernel_size")).decode)


def _megvii(cfg: Mapping[str, Any]) -> Decoder:
    kernel = _odd(cfg.get("kernel_size"), "kernel_size")
    scheme = MegviiHeatmaps(_pair(cfg, "input_size"), _pair(cfg, "heatmap_size"), kernel)
    return Decoder("heatmap", scheme.decode)


def _simcc(cfg: Mapping[str, Any]) -> Decoder:
    kernels = None
    if cfg.get("use_dark", False):
        sigma = cfg.get("sigma", 6.0)
        sigmas = (sigma, sigma) if isinstance(sigma, int | float) else tuple(sigma)
        # sigma = 0.3 ((size - 1) / 2 - 1) + 0.8 solved for an odd size, rounded down.
        sizes = [int((float(s) * 20 - 7) // 3) for s in sigmas]
        x, y = (_odd(size - (size % 2 == 0), "the DARK kernel that follows from sigma") for size in sizes)
        kernels = (x, y)
    return Decoder("simcc", SimCC(float(cfg.get("simcc_split_ratio", 2.0)), kernels).decode)


def _regression(cfg: Mapping[str, Any]) -> Decoder:
    return Decoder("regression", Regression(_pair(cfg, "input_size")).decode)


_CODECS = {
    "MSRAHeatmap": _msra,
    "UDPHeatmap": _udp,
    "MegviiHeatmap": _megvii,
    "SimCCLabel": _simcc,
    "RegressionLabel": _regression,
    "IntegralRegressionLabel": _regression,
}


def _pair(cfg: Mapping[str, Any], key: str) -> tuple[int, int]:
    value = cfg.get(key)
    try:
        width, height = value  # type: ignore[misc]
        return int(width), int(height)
    except (TypeError, ValueError):
        raise UserError(f"{cfg.get('type')} needs {key}=(width, height), not {value!r}") from None


def _odd(size: Any, what: str) -> int:
    if not isinstance(size, int) or size < 1 or size % 2 == 0:
        raise UserError(f"{what} must be a positive odd number, not {size!r}")
    return size
