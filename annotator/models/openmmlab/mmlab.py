"""What must be in place before anything of OpenMMLab is imported: two stand-ins, one omission, and quiet."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import threading
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_lock = threading.Lock()
_prepared = False


def prepare() -> None:
    """Make mmcv, mmdet, mmpose and mmpretrain importable and quiet; call it before importing any of them.

    Registers torchvision's operations as `mmcv._ext` unless a compiled one can be imported, and pycocotools'
    modules as `xtcocotools` unless that package is installed; keeps mmpretrain from importing transformers.
    Safe to call often and from several threads.
    """
    global _prepared
    with _lock:
        if _prepared:
            return
        _quiet()
        _provide_mmcv_ext()
        _provide_xtcocotools()
        _leave_out_multimodal()
        _prepared = True


def compiled_mmcv() -> bool:
    """Whether mmcv's own compiled extension is in use, rather than torchvision's operations."""
    prepare()
    return not isinstance(sys.modules["mmcv._ext"], _MmcvExtension)


class _MmcvExtension(ModuleType):
    """`mmcv._ext` with the operations of `mmcv_ops`; any other name is a function that raises when called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def unsupported(*args: object, **kwargs: object) -> None:
            from annotator.models.openmmlab.mmcv_ops import UnsupportedOperationError

            raise UnsupportedOperationError(name)

        # mmcv asks for every operation it knows when it is imported; only a call is an error.
        unsupported.__name__ = name
        return unsupported


def _provide_mmcv_ext() -> None:
    import mmcv

    try:
        importlib.import_module("mmcv._ext")
        return
    except ImportError:
        # Absent, or built for another torch: neither can be used.
        pass
    from annotator.models.openmmlab.mmcv_ops import OPERATIONS

    extension = _MmcvExtension("mmcv._ext")
    extension.__doc__ = "mmcv's operations, carried out by torchvision."
    # mmengine looks the extension up with find_spec, which rejects a module without one.
    extension.__spec__ = ModuleSpec("mmcv._ext", loader=None, origin="annotator.models.openmmlab.mmcv_ops")
    for name, operation in OPERATIONS.items():
        setattr(extension, name, operation)
    sys.modules["mmcv._ext"] = extension
    setattr(mmcv, "_ext", extension)  # noqa: B010


def _provide_xtcocotools() -> None:
    if "xtcocotools" in sys.modules or importlib.util.find_spec("xtcocotools") is not None:
        return
    import pycocotools.coco
    import pycocotools.mask

    from annotator.models.openmmlab import xtcoco

    package = ModuleType("xtcocotools", "pycocotools under the names of xtcocotools.")
    package.__path__ = []
    package.__spec__ = ModuleSpec("xtcocotools", loader=None, is_package=True)
    sys.modules["xtcocotools"] = package
    modules = {"coco": pycocotools.coco, "mask": pycocotools.mask, "cocoeval": xtcoco}
    for name, module in modules.items():
        sys.modules[f"xtcocotools.{name}"] = module
        setattr(package, name, module)


def _leave_out_multimodal() -> None:
    """Tell mmpretrain that what its models of pictures and text need is missing, whatever is installed.

    Beside any transformers >= 4.28 it would import them all, by names that later versions lack, and mmdet's
    models fall with it. Nothing here uses them. The module that decides is loaded alone, before its package:
    that imports all models before the answer could be changed.
    """
    name = "mmpretrain.utils.dependency"
    if name not in sys.modules:
        package = importlib.util.find_spec("mmpretrain")
        assert package is not None and package.submodule_search_locations
        file = Path(package.submodule_search_locations[0], "utils", "dependency.py")
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    setattr(sys.modules[name], "WITH_MULTIMODAL", False)  # noqa: B010


def _quiet() -> None:
    for package in ("mmcv", "mmdet", "mmengine", "mmpose", "mmpretrain"):
        warnings.filterwarnings("ignore", module=rf"{package}(\.|$)")
    # torchvision's and mmdet's own calls, reported from within torch.
    warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release")
    import mmengine.logging.logger
    from mmengine.logging import MMLogger

    # print_log() without a logger prints to stdout whatever its level.
    setattr(mmengine.logging.logger, "print", logging.getLogger(__name__).debug)  # noqa: B010
    logger = MMLogger.get_instance("mmengine")
    logger.setLevel(logging.ERROR)
    for handler in logger.handlers:
        # It would write to stdout, where `--json` promises one JSON object and nothing else.
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)
