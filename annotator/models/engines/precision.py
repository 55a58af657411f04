"""A network in a chosen precision, but for the layers that give its outputs: those stay in float32."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

import torch
from torch import Tensor, nn

from annotator.models.engines.outputs import tensors


def lower_precision(network: nn.Module, dtype: torch.dtype, given: Tensor) -> None:
    """Give a network's parameters and activations a precision, but for the layers that give its outputs.

    The eight bits of bfloat16 make neighbours of a heatmap's maximum equal to it, and the joint jumps by a
    cell; these layers cost next to nothing.

    Args:
        network: in eval mode, in float32 on the CPU; is changed.
        dtype: of all others; float32 leaves everything as it is.
        given: an input of the right shape, float32.
    """
    if dtype == torch.float32:
        return
    exact: set[Tensor] = set(last_parameters(network, given))
    for layer in _layers(network):
        if any(parameter in exact for parameter in layer.parameters()):
            exact.update(layer.buffers())
            layer.register_forward_pre_hook(lambda _, given: tuple(value.float() for value in given))
    network._apply(lambda one: one if one in exact or not one.is_floating_point() else one.to(dtype))


def last_parameters(network: nn.Module, given: Tensor) -> set[nn.Parameter]:
    """Those of the layers after which no other comes on the way to the outputs, and of what follows these.

    They are read off the graph that torch keeps of a pass, so that names do not matter. An intermediate
    heatmap that later stages read again is no output in this sense.

    Args:
        network: on the device of `given`.
        given: an input of the right shape and dtype.
    """
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.requires_grad_(True)
    try:
        # Only the graph is wanted: without activations to calculate gradients from it takes no memory.
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(lambda _: None, lambda _: given):
            outputs = tensors(network(given))
    finally:
        network.requires_grad_(False)
        for parameter in learning:
            parameter.requires_grad_(True)
    # Those of one dimension are norms and factors, which only scale what a layer gives.
    weights = {weight for layer in _layers(network) for weight in layer.parameters() if weight.ndim > 1}
    candidates, before = _last_operations((output.grad_fn for output in outputs), weights)
    earlier = _reached(before)
    return {one for operation, read in candidates.items() if operation not in earlier for one in read}


def _layers(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if not any(True for _ in module.children())]


def _last_operations(
    last: Iterable[Any], weights: Set[nn.Parameter]
) -> tuple[dict[Any, list[nn.Parameter]], list[Any]]:
    """Parameters by the operation that reads them, from the last ones back to the first with weights; and the
    operations before these.
    """
    found: dict[Any, list[nn.Parameter]] = {}
    before: list[Any] = []
    waiting, seen = list(last), set()
    while waiting:
        operation = waiting.pop()
        if operation is None or operation in seen:
            continue
        seen.add(operation)
        read, inputs = _parts(operation)
        if read:
            found[operation] = read
        (before if any(one in weights for one in read) else waiting).extend(inputs)
    return found, before


def _reached(operations: Iterable[Any]) -> set[Any]:
    """These operations and all before them."""
    waiting, seen = list(operations), set()
    while waiting:
        operation = waiting.pop()
        if operation is not None and operation not in seen:
            seen.add(operation)
            waiting.extend(one for one, _ in operation.next_functions)
    return seen


def _parts(operation: Any) -> tuple[list[nn.Parameter], list[Any]]:
    """The parameters that an operation reads, transposed or not, and what its other inputs come from."""
    read, inputs = [], []
    for one, _ in operation.next_functions:
        end = one
        while end is not None and len(end.next_functions) == 1:
            end = end.next_functions[0][0]
        parameter = getattr(end, "variable", None)
        if parameter is None:
            inputs.append(one)
        else:
            read.append(parameter)
    return read, inputs
