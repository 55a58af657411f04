"""Checkpoints as named tensors: read without running code, kept as safetensors, loaded strictly."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

# Where trainers keep the weights, in the order of preference. mmengine's EMA hook has already swapped its
# averages into "state_dict" when it saves, and keeps the raw weights under "ema_state_dict".
_STATE_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "module", "params", "weights")
_WRAPPERS = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights.

    Attributes:
        state: tensors by name, on the CPU; with torch's `_metadata` attribute where the file has it.
        meta: what the trainer wrote beside them (`dataset_meta` and so on), plain data only.
    """

    state: OrderedDict[str, Tensor]
    meta: dict[str, Any] = field(default_factory=dict)


def load_state(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, from a safetensors file or a pickled checkpoint; runs no code of it.

    Raises:
        UserError: the file is absent, unreadable, holds no weights, or tries to run code.
    """
    return load_checkpoint(path).state


def load_checkpoint(path: str | Path, sha256: str | None = None) -> Checkpoint:
    """As `load_state`, with the trainer's notes.

    Args:
        path: the checkpoint.
        sha256: of the file, when known: a safetensors copy made from exactly that file is read instead.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weights not found: {path}")
    if sha256 is not None:
        copy = safetensors_copy(path)
        if copy != path and copy.is_file():
            checkpoint, source = _read_safetensors(copy)
            if source == sha256:
                return checkpoint
    try:
        with path.open("rb") as file:
            head = file.read(9)
        if path.suffix == ".safetensors" or head[8:9] == b"{":
            return _read_safetensors(path)[0]
        return _read_pickle(path)
    except OSError as error:
        raise UserError(f"cannot read the weights {path}: {error}") from None


def safetensors_copy(path: Path) -> Path:
    """Where the safetensors copy of a checkpoint lies: beside it."""
    return path.with_suffix(".safetensors")


def write_safetensors_copy(path: Path, sha256: str) -> Path | None:
    """Store the weights of a checkpoint beside it as safetensors; None where the folder cannot be written to.

    The copy loads faster, maps into memory, and holds nothing but tensors. It notes the sha256 of its source.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    copy = safetensors_copy(path)
    if copy == path:
        return path
    checkpoint = load_checkpoint(path)
    tensors: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in checkpoint.state.items():
        # safetensors refuses tensors that share memory.
        shared = tensor.untyped_storage().data_ptr() in storages
        storages.add(tensor.untyped_storage().data_ptr())
        tensors[name] = tensor.clone().contiguous() if shared else tensor.contiguous()
    notes = {
        "source_sha256": sha256,
        "versions": json.dumps(getattr(checkpoint.state, "_metadata", None), default=_jsonable),
        "meta": json.dumps(checkpoint.meta, default=_jsonable),
    }
    aside = copy.with_name(f".{copy.name}.{os.getpid()}")
    try:
        save_file(tensors, aside, metadata=notes)
        aside.replace(copy)
    except (OSError, SafetensorError):
        # save_file tells of a read-only folder or a full disk by an error of its own.
        return None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return copy


def load_into(network: nn.Module, checkpoint: Checkpoint, name: str) -> None:
    """Put a checkpoint's tensors into a network, all that matters or none.

    Names that only training needs (losses) and counters may be missing; so may constants of heads. Every
    parameter and every running statistic must be there, in its shape.

    Args:
        network: changed in place.
        checkpoint: its tensors.
        name: of the weights, for messages.

    Raises:
        UserError: the weights belong to another network.
    """
    try:
        missing, unexpected = network.load_state_dict(checkpoint.state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if "size mismatch" in line]
        first = lines[0] if lines else str(error).splitlines()[0]
        raise UserError(
            f"{name}: these weights are for another network than the config describes: {first}"
            + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")
        ) from None
    parameters = {key for key, _ in network.named_parameters()}
    needed = [key for key in missing if not _may_be_missing(key, key in parameters)]
    if needed:
        raise UserError(
            f"{name}: these weights lack {len(needed)} of the network's {len(network.state_dict())} tensors, "
            f"such as {', '.join(needed[:3])}"
            + (f"; they have {', '.join(unexpected[:3])} instead" if unexpected else "")
            + ": do the config and the weights belong together?"
        )


def _may_be_missing(key: str, is_parameter: bool) -> bool:
    parts = key.split(".")
    if parts[-1] == "num_batches_tracked" or any("loss" in part for part in parts):
        return True
    in_head = any("head" in part for part in parts)
    return in_head and not is_parameter and not parts[-1].startswith("running_")


def _read_pickle(path: Path) -> Checkpoint:
    from annotator.models.weights.unpickle import ForbiddenNameError, plain, torch_load

    try:
        content = torch_load(path)
    except ForbiddenNameError as error:
        raise UserError(
            f"{path} was refused: it names {error}, which is no part of weights and could run code on this "
            "machine; if you trust where it comes from, convert it to safetensors there"
        ) from None
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} is not a checkpoint: {error}") from None
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file can fail anywhere inside torch
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} is not a readable checkpoint (damaged or incomplete?): {first[:200]}"
        ) from None
    state = _find_state(content)
    if not state:
        raise UserError(
            f"{path} holds no state dict of tensors: save one with torch.save(model.state_dict(), ...)"
        )
    meta = content.get("meta") if isinstance(content, Mapping) else None
    return Checkpoint(_unwrapped(state), plain(meta) if isinstance(meta, dict) else {})


def _find_state(content: Any) -> Mapping[str, Tensor] | None:
    import torch

    if not isinstance(content, Mapping):
        return None
    for key in _STATE_KEYS:
        inner = content.get(key)
        if isinstance(inner, Mapping):
            found = _find_state(inner)
            if found:
                return found
    tensors = [
        key for key, value in content.items() if isinstance(key, str) and isinstance(value, torch.Tensor)
    ]
    if not tensors:
        return None
    if len(tensors) == len(content):
        return content
    state = OrderedDict((key, content[key]) for key in tensors)
    if hasattr(content, "_metadata"):
        state._metadata = content._metadata  # type: ignore[attr-defined]
    return state


def _unwrapped(state: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Names without the prefixes of DistributedDataParallel and torch.compile."""
    result = OrderedDict(state)
    versions = getattr(state, "_metadata", None)
    for prefix in _WRAPPERS:
        if result and all(key.startswith(prefix) for key in result):
            result = OrderedDict((key.removeprefix(prefix), value) for key, value in result.items())
            versions = versions and {key.removeprefix(prefix): value for key, value in versions.items()}
    if isinstance(versions, dict):
        # Modules look up the version of their own names here, and convert those of older ones.
        result._metadata = versions  # type: ignore[attr-defined]
    return result


def _read_safetensors(path: Path) -> tuple[Checkpoint, str | None]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            notes = file.metadata() or {}
            state = OrderedDict((key, file.get_tensor(key)) for key in file.keys())  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a readable safetensors file (damaged or incomplete?): {error}"
        ) from None
    meta: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        meta = json.loads(notes.get("meta", "{}"), object_hook=_integer_keys)
        versions = json.loads(notes.get("versions", "null"))
        if isinstance(versions, dict):
            state._metadata = versions  # type: ignore[attr-defined]
    if not state:
        raise UserError(f"{path} holds no tensors")
    return Checkpoint(_unwrapped(state), meta), notes.get("source_sha256")


def _integer_keys(value: dict[str, Any]) -> dict[Any, Any]:
    # JSON turns keypoint_id2name's integer keys into text.
    return {int(key) if key.isdecimal() else key: item for key, item in value.items()}


def _jsonable(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
