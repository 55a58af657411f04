"""COCO's JSON files, without the parts that fill memory and that nothing here needs."""

from __future__ import annotations

import json
import math
from typing import Any

from annotator.errors import UserError

_WANTED = "images annotations categories id file_name image_id bbox category_id iscrowd score name"
_KEPT = frozenset(_WANTED.split())


def load_coco(path: str) -> Any:
    """Parse a COCO file; segmentations, keypoints, captions and the like are dropped while parsing.

    Raises:
        UserError: it cannot be opened or is not JSON; the message has the place.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(
                file, object_pairs_hook=lambda pairs: {key: value for key, value in pairs if key in _KEPT}
            )
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not valid JSON ({error}); expected a COCO file, "
            'such as {"images": [{"id": 1, "file_name": "a.jpg"}], ...}'
        ) from None


def records(document: dict[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    """The list of objects under `key`.

    Raises:
        UserError: it is missing, or not a list of objects.
    """
    found = document.get(key)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise UserError(f'{path}: "{key}" is not a list of objects, as COCO files have it')
    return found


def integer_id(value: Any, where: str, what: str = "an image id") -> int:
    """An id as a 64-bit integer; whole floats and digits in quotes are accepted.

    Args:
        what: the kind of id, for the message.

    Raises:
        UserError: anything else.
    """
    try:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        number = (
            int(value) if not isinstance(value, str) or value.strip().lstrip("-").isdigit() else _whole(value)
        )
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{where}: {value!r} is not {what}: expected a whole number") from None
    if not -(2**63) <= number < 2**63:
        raise UserError(f"{where}: {number} is {what} that does not fit 64 bits")
    return number


def _whole(text: str) -> int:
    number = float(text)
    if not math.isfinite(number) or not number.is_integer():
        raise ValueError
    return int(number)
