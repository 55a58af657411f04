"""Batch normalisation folded into the convolution before it: the same values in one pass over memory less."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from annotator.models.engines.outputs import tensors

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
# Of any number of axes; MMEngine has one of its own.
_NORM = nn.modules.batchnorm._BatchNorm
# Of the largest output: what adding up in another order may change.
_LIMIT = 1e-4


def fold_norms(network: nn.Module, given: Tensor) -> int:
    """Fold each batch normalisation that follows a convolution into its weights and bias, in place.

    Which follows which is watched while the network runs, so that the order and names of its layers do not
    matter. A network that computes something else afterwards, because it uses what a convolution gave
    elsewhere too, is left as it was.

    Args:
        network: in eval mode, in float32, which is the precision to fold in whatever comes later.
        given: an input of the right shape.

    Returns:
        How many were folded.
    """
    if not any(isinstance(module, _NORM) for module in network.modules()):
        return 0
    with torch.inference_mode():
        pairs, expected = _watched(network, given)
    parents = {
        child: (parent, name) for parent in network.modules() for name, child in parent.named_children()
    }
    before = [(conv, conv.weight, conv.bias, norm) for conv, norm in pairs]
    for conv, norm in pairs:
        fused = fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, _TRANSPOSED))
        conv.weight, conv.bias = fused.weight, fused.bias
        setattr(*parents[norm], nn.Identity())
    with torch.inference_mode():
        found = network(given)
    if all(_close(a, b) for a, b in zip(tensors(found), tensors(expected), strict=True)):
        return len(pairs)
    for conv, weight, bias, norm in before:
        conv.weight, conv.bias = weight, bias
        setattr(*parents[norm], norm)
    return 0


def _watched(network: nn.Module, given: Tensor) -> tuple[list[tuple[Any, Any]], Any]:
    """Convolutions with the normalisations that always follow them, and the network's outputs."""
    outputs: dict[int, tuple[nn.Module, Tensor]] = {}
    pairs: list[tuple[Any, Any]] = []
    calls: Counter[nn.Module] = Counter()

    def watch(module: Any, arguments: tuple[Any, ...], found: Tensor) -> None:
        calls[module] += 1
        if isinstance(module, _CONVOLUTIONS):
            if isinstance(module, _TRANSPOSED) and module.groups > 1:
                return  # torch folds these of one group only
            # Kept alive, or another tensor could get its id.
            outputs[id(found)] = (module, found)
        elif id(arguments[0]) in outputs:
            pairs.append((outputs[id(arguments[0])][0], module))

    hooks = [
        module.register_forward_hook(watch)
        for module in network.modules()
        if isinstance(module, (*_CONVOLUTIONS, _NORM))
    ]
    try:
        result = network(given)
    finally:
        for hook in hooks:
            hook.remove()
    always = [
        pair for pair, times in Counter(pairs).items() if all(calls[module] == times for module in pair)
    ]
    return always, result


def _close(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= _LIMIT * expected.abs().max())
