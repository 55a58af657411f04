"""From what a user names to files: a model's config and weights, found, fetched, checked and hashed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from annotator.errors import UserError
from annotator.models.weights import fetch
from annotator.models.zoo import catalogue

Kind = Literal["pose", "detector"]
RANDOM = "random"
"""In place of a file of weights: seeded random ones, to try out a config or its speed."""
_WEB = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that can be built: small, and the same on every node that sees the files.

    Attributes:
        name: short name, config's name, or stem of the config file.
        kind: "pose" or "detector".
        config_path: absolute path of the config.
        weights_path: absolute path of the weights, or None for random ones.
        sha256: of the weights' bytes, hex; "random" for random ones.
        config_sha256: of the config with everything it inherits, hex.
    """

    name: str
    kind: Kind
    config_path: str
    weights_path: str | None
    sha256: str
    config_sha256: str = ""

    @property
    def random_weights(self) -> bool:
        """Whether the network is to get seeded random weights."""
        return self.weights_path is None


def resolve_pose(
    name_or_config: str,
    weights: str | None = None,
    weights_dir: str | None = None,
) -> ModelSource:
    """The pose model of a catalogue name or config file.

    Args:
        name_or_config: such as "vitpose-h", a config's full name, or the path of a config file.
        weights: file, address, or `RANDOM`; None for the official weights of a catalogue name.
        weights_dir: folder to look for weights in, and to keep downloads in.

    Raises:
        UserError: unknown name, unusable config, absent or damaged weights, or a detector for a pose model.
    """
    return _resolve("pose", name_or_config, weights, weights_dir)


def resolve_detector(
    name_or_config: str,
    weights: str | None = None,
    weights_dir: str | None = None,
) -> ModelSource:
    """The person detector of a catalogue name or config file; arguments and errors as `resolve_pose`."""
    return _resolve("detector", name_or_config, weights, weights_dir)


def _resolve(kind: Kind, name_or_config: str, weights: str | None, weights_dir: str | None) -> ModelSource:
    from annotator.models.openmmlab.configs import config_sha256, load_model_config

    url = None
    if is_config_file(name_or_config):
        config_path = Path(name_or_config).expanduser()
        name = config_path.stem
    else:
        entry = _entry(kind, name_or_config)
        config_path, url = entry.config, entry.url
        if weights is None and entry.weights is not None:
            weights = str(entry.weights)
        name = entry.short_names[0] if entry.short_names else entry.name
    config = load_model_config(config_path, kind)
    path, sha256 = _weights(kind, name, weights, url, weights_dir)
    return ModelSource(
        name=name,
        kind=kind,
        config_path=str(config_path.resolve()),
        weights_path=path and str(path.resolve()),
        sha256=sha256,
        config_sha256=config_sha256(config),
    )


def missing_weights(
    kind: Kind, name_or_config: str, weights: str | None = None, weights_dir: str | None = None
) -> str | None:
    """The address that `resolve_pose` or `resolve_detector` would download from; None if it need not.

    Raises:
        UserError: unknown name, a model that cannot be run, or a file that is not there.
    """
    if weights is None and not is_config_file(name_or_config):
        entry = _entry(kind, name_or_config)
        weights = None if entry.weights is not None else entry.url
    if weights is None or _asks_for_random(weights):
        return None
    if not weights.startswith(_WEB):
        _local(kind, weights, weights_dir)
        return None
    return None if fetch.find(weights, weights_dir) else weights


def _entry(kind: Kind, name: str) -> catalogue.Entry:
    find = catalogue.find_pose if kind == "pose" else catalogue.find_detector
    entry = find(name)
    if entry.unsupported is not None:
        raise UserError(f"{entry.name} cannot be run here: {entry.unsupported}")
    return entry


def is_config_file(name_or_config: str) -> bool:
    """Whether this is meant as a path rather than a name of the catalogue."""
    path = Path(name_or_config)
    return path.suffix in (".py", ".json", ".yaml", ".yml") or "/" in name_or_config or path.exists()


def _weights(
    kind: Kind, name: str, weights: str | None, url: str | None, weights_dir: str | None
) -> tuple[Path | None, str]:
    option = f"--{kind}-weights"
    if _asks_for_random(weights):
        return None, RANDOM
    if weights is not None and weights.startswith(_WEB):
        url, weights = weights, None
    if weights is not None:
        path = _local(kind, weights, weights_dir)
        try:
            return path, fetch.sha256_of(path)
        except OSError as error:
            raise UserError(f"{option} {weights} cannot be read: {error.strerror}") from None
    if url is None:
        raise UserError(f"{name} comes without official weights: name a file with {option}")
    path, sha256 = fetch.fetch(url, weights_dir)
    from annotator.models.weights.loading import safetensors_copy, write_safetensors_copy

    if not safetensors_copy(path).exists():
        write_safetensors_copy(path, sha256)
    return path, sha256


def _asks_for_random(weights: str | None) -> bool:
    return weights == RANDOM and not Path(RANDOM).exists()


def _local(kind: Kind, weights: str, weights_dir: str | None) -> Path:
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    if weights_dir is not None and (inside := Path(weights_dir).expanduser() / path).is_file():
        return inside
    raise UserError(f"--{kind}-weights {weights}: no such file")


def needs_boxes(source: ModelSource) -> bool:
    """Whether the pose model works on given or detected people, rather than on whole images."""
    from annotator.models.openmmlab.configs import load_model_config, type_name

    return type_name(load_model_config(source.config_path, "pose").model) == "TopdownPoseEstimator"
