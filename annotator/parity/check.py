"""Models to compare, one after the other, each with the comparison that fits how it works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from annotator.errors import AnnotatorError
from annotator.models.sources import RANDOM, ModelSource, is_config_file, needs_boxes, resolve_pose
from annotator.models.weights import fetch
from annotator.models.zoo import catalogue
from annotator.parity.pictures import Picture
from annotator.parity.random_weights import responsive
from annotator.parity.verdict import Verdict

# A network for each way of encoding keypoints: MSRA, UDP and its offsets, Megvii, SimCC, RLE, integral,
# one-stage.
REPRESENTATIVE = (
    "mobilenetv2",
    "hrnet-w32-udp",
    "td-hm_hrnet-w32_udp-regress-8xb64-210e_coco-256x192",
    "td-hm_mspn50_8xb32-210e_coco-256x192",
    "rtmpose-t",
    "deeppose-rle",
    "integral",
    "rtmo-s",
)


def sources(
    names: Sequence[str], weights: str | None = None, weights_dir: str | None = None
) -> list[ModelSource]:
    """The models of names and config files; nothing is downloaded.

    Args:
        weights: for the one model named; None: the official ones if they are at hand, else random ones.

    Raises:
        UserError: an unknown name, an unusable config, or weights that cannot be read.
    """
    found = []
    for name in names or REPRESENTATIVE:
        chosen = weights
        if chosen is None:
            url = None if is_config_file(name) else catalogue.find_pose(name).url
            at_hand = fetch.find(url, weights_dir) if url else None
            chosen = None if at_hand else RANDOM
        found.append(resolve_pose(name, chosen, weights_dir))
    return found


def check_all(models: Sequence[ModelSource], pictures: Sequence[Picture]) -> Iterator[Verdict]:
    """A verdict for each model as it is reached; a model that cannot be compared has one too."""
    for source in models:
        try:
            yield _check(source, pictures)
        except AnnotatorError as error:
            yield Verdict(source.name, error=str(error))
        except Exception as error:  # noqa: BLE001 - MMPose can raise anything; the others are still compared
            first = (str(error).strip().splitlines() or [""])[0][:300]
            yield Verdict(source.name, error=f"{type(error).__name__}: {first}")


def _check(source: ModelSource, pictures: Sequence[Picture]) -> Verdict:
    if needs_boxes(source):
        from annotator.parity.topdown import check
    else:
        from annotator.parity.whole_image import check
    with TemporaryDirectory() as folder:
        return check(responsive(source, pictures, Path(folder)), pictures)
