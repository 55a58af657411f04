"""Reading pickled checkpoints without running what they name: tensors and plain data real, all else inert.

A pickle is a program that may call any function it can name. Here it can name only the functions that
rebuild tensors; the objects that OpenMMLab, Lightning and others leave in a checkpoint beside its weights
(log buffers, configurations, optimizers) become `Inert` records of their making; any other name is refused.
"""

from __future__ import annotations

import collections
import datetime
import functools
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np

# Packages whose objects checkpoints carry along; their code is not touched.
_INERT_PACKAGES = frozenset(
    {
        "mmengine", "mmcv", "mmpose", "mmdet", "mmpretrain", "mmcls", "mmseg", "mmyolo", "mmaction",
        "mmrotate", "mmtrack", "mmselfsup", "addict", "yapf", "easydict", "omegaconf", "yacs", "detectron2",
        "fvcore", "iopath", "timm", "transformers", "lightning", "lightning_fabric", "pytorch_lightning",
        "torchvision", "datetime", "pathlib", "enum", "uuid", "decimal", "fractions", "argparse",
    }
)  # fmt: skip
_INERT_PREFIXES = ("torch.nn.", "torch.optim.", "torch.distributed.", "torch.cuda.amp.", "torch.amp.")
_INERT_NAMES = frozenset(
    {
        # mmengine's HistoryBuffer refers to its own methods in this way.
        ("builtins", "getattr"),
        ("builtins", "object"),
        ("copyreg", "_reconstructor"),
        ("types", "SimpleNamespace"),
        ("collections", "deque"),
        ("collections", "Counter"),
        ("collections", "defaultdict"),
    }
)
_INERT_NUMPY = frozenset(
    {"_reconstruct", "scalar", "dtype", "ndarray", "_frombuffer", "__bit_generator_ctor", "__generator_ctor"}
)
_BUILTINS = {
    builtin.__name__: builtin
    for builtin in (
        set,
        frozenset,
        list,
        dict,
        tuple,
        int,
        float,
        bool,
        str,
        bytes,
        bytearray,
        complex,
        slice,
    )
}


class ForbiddenNameError(pickle.UnpicklingError):
    """The pickle names something that has no business in a file of weights."""

    def __init__(self, module: str, name: str) -> None:
        super().__init__(f"{module}.{name}")


class Inert:
    """What stands for an object whose class is not loaded: it remembers its making and does nothing.

    Attributes:
        name: "module.Class" as the pickle has it (on the class).
        args: positional arguments it was made with.
        state: what its `__setstate__` would have been given, or None.
        items: what would have been appended or set on it.
    """

    name = ""
    args: tuple[Any, ...]
    state: Any
    items: list[Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        self = super().__new__(cls)
        self.args, self.state, self.items = args, None, []
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Inert:
        return Inert(self, *args)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def append(self, value: Any) -> None:
        """As a pickle fills a list."""
        self.items.append(value)

    def extend(self, values: Any) -> None:
        """As a pickle fills a list."""
        self.items.extend(values)

    def add(self, value: Any) -> None:
        """As a pickle fills a set."""
        self.items.append(value)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


class RestrictedUnpickler(pickle.Unpickler):
    """`pickle.Unpickler` that resolves names by the lists above and imports nothing."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, _only_storages(value) if name == "persistent_load" else value)

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Raises ForbiddenNameError for a name that is on no list."""
        real = _real_names().get((module_name, global_name))
        if real is not None:
            return real
        if module_name in ("builtins", "__builtin__") and global_name in _BUILTINS:
            return _BUILTINS[global_name]
        if module_name == "torch":
            dtype = _torch_dtype(global_name)
            if dtype is not None:
                return dtype
        if _is_inert(module_name, global_name):
            return type("Inert", (Inert,), {"name": f"{module_name}.{global_name}"})
        raise ForbiddenNameError(module_name, global_name)


def _only_storages(load: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """torch's way to tensors' memory without its way to modules, which writes a copy of their source."""

    def checked(reference: Any) -> Any:
        kind = reference[0] if isinstance(reference, tuple) and reference else reference
        if kind not in ("storage", b"storage"):
            raise ForbiddenNameError("torch", f"{kind} (a whole module, not its weights)")
        return load(reference)

    return checked


def torch_load(path: str | Path) -> Any:
    """What `torch.load(path, map_location="cpu")` gives, through `RestrictedUnpickler`.

    Raises:
        ForbiddenNameError: the pickle names code that is no part of weights.
        Exception: whatever torch raises for files it cannot read.
    """
    import torch

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.rpartition("/")[2] == "constants.pkl" for name in archive.namelist()):
                raise pickle.UnpicklingError("a TorchScript program, not a checkpoint")
    return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_PICKLE)


def plain(value: Any) -> Any:
    """`value` with inert numpy arrays and scalars of numbers made real; other inert objects -> None."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(plain(item) for item in value)
    if isinstance(value, Inert):
        return _plain_inert(value)
    return value


def _plain_inert(value: Inert) -> Any:
    function = value.name.rpartition(".")[2]
    try:
        if value.name.startswith("numpy") and function == "_reconstruct" and value.state is not None:
            _, shape, dtype, fortran, raw = value.state
            array = np.frombuffer(_raw(raw), _numeric(dtype))
            return array.reshape(shape, order="F" if fortran else "C").copy()
        if value.name.startswith("numpy") and function == "scalar":
            dtype, raw = value.args
            return np.frombuffer(_raw(raw), _numeric(dtype))[0].item()
    except (ValueError, TypeError, IndexError):
        return None
    return plain(dict(value.items)) if value.items and value.name.startswith(("mmengine", "mmcv")) else None


def _raw(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("not raw bytes")
    return value


def _numeric(dtype: Any) -> np.dtype:
    code = dtype.args[0]
    order = dtype.state[1] if dtype.state and dtype.state[1] in ("<", ">") else "="
    result = np.dtype(code).newbyteorder(order)
    if result.kind not in "fiub":
        raise TypeError(f"dtype {code} holds no numbers")
    return result


def _is_inert(module: str, name: str) -> bool:
    package = module.partition(".")[0]
    if package == "numpy":
        return (
            name in _INERT_NUMPY or (module == "numpy" and _is_numpy_type(name)) or module == "numpy.dtypes"
        )
    return (
        package in _INERT_PACKAGES
        or module.startswith(_INERT_PREFIXES)
        or (module.replace("__builtin__", "builtins"), name) in _INERT_NAMES
    )


def _is_numpy_type(name: str) -> bool:
    value = getattr(np, name, None)
    return isinstance(value, type) and issubclass(value, np.generic)


def _torch_dtype(name: str) -> Any:
    import torch

    value = getattr(torch, name, None)
    return value if isinstance(value, torch.dtype) else None


@functools.cache
def _real_names() -> dict[tuple[str, str], Any]:
    """What a pickle may really use: immutable types, and the functions that rebuild tensors."""
    import torch
    import torch._utils

    rebuild = torch._utils

    # A pickle may set attributes on what it is given, and torch reads some: these have none.
    class Tensor:
        __slots__ = ()

        def __call__(self, *args: Any) -> Any:
            return rebuild._rebuild_tensor(*args)

    class TensorV2:
        __slots__ = ()

        def __call__(self, *args: Any) -> Any:
            return rebuild._rebuild_tensor_v2(*args)

    class Parameter:
        __slots__ = ()

        def __call__(self, data: Any, *_: Any) -> Any:
            return data

    class Latin1:
        """How protocol 2 writes bytes."""

        __slots__ = ()

        def __call__(self, text: str, *_: Any) -> bytes:
            return text.encode("latin1")

    parameter = Parameter()
    return {
        ("_codecs", "encode"): Latin1(),
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("datetime", "datetime"): datetime.datetime,
        ("torch", "Size"): torch.Size,
        ("torch", "device"): torch.device,
        ("torch._utils", "_rebuild_tensor"): Tensor(),
        ("torch._utils", "_rebuild_tensor_v2"): TensorV2(),
        ("torch._utils", "_rebuild_parameter"): parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): parameter,
    }


def _load(file: IO[bytes], **options: Any) -> Any:
    return RestrictedUnpickler(file, **options).load()


# The two attributes of the pickle module that torch.load uses.
_PICKLE = SimpleNamespace(
    __name__="annotator.models.weights.unpickle", Unpickler=RestrictedUnpickler, load=_load
)
