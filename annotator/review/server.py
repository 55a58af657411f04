"""The App's server of one review: FiftyOne's own, on loopback, which notes who corrected a joint.

Run as `python -m annotator.review.server --port PORT`, with the environment of `fiftyone_process.settings`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from annotator.review.fields import KEYPOINT_LIST, POSE_LIST
from annotator.review.moments import now
from annotator.store.person_ids import is_added

Scope = MutableMapping[str, Any]

# The App's style sheet asks a host outside for fonts: nobody needs them, and without a way out it waits.
_POLICY = (
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws: data: blob:; "
    b"frame-src 'self'"
)

# What the App calls when somebody drags a vertex: FiftyOne stores the new place, but not whose hand it was.
# The body is a JSON patch (RFC 6902) of the sample or, in a view of people, of the label in the address.
_ADDRESS = re.compile(r"^/dataset/([0-9a-f]{24})/sample/([0-9a-f]{24})(?:/[^/]+/([0-9a-f]{24}))?$")
_IN_SAMPLE = re.compile(r"^/(\w+)/(\w+)/(\d+)/points\b")
_IN_LABEL = re.compile(r"^/points\b")


@dataclass(frozen=True, slots=True)
class Edit:
    """Points that somebody moved in the App.

    Attributes:
        dataset_id, sample_id: 24 hexadecimal digits each.
        labels: whose points: the labels' ids, or their places in the sample, as "poses.polylines.1".
    """

    dataset_id: str
    sample_id: str
    labels: frozenset[str]


def signed(
    app: Callable[..., Awaitable[None]], sign: Callable[[Edit], None]
) -> Callable[..., Awaitable[None]]:
    """The same ASGI application, calling `sign` after every edit of points that was stored.

    Its pages may load nothing from elsewhere.
    """

    async def wrapped(scope: Scope, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        edit = None
        if scope["method"] == "PATCH" and (address := _ADDRESS.match(scope["path"])):
            body, receive = await _read(receive)
            edit = _edit(address, body)

        async def watch(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", _POLICY)]
                if edit is not None and message["status"] < 300:
                    sign(edit)
            await send(message)

        await app(scope, receive, watch)

    return wrapped


async def _read(receive: Callable[..., Awaitable[Any]]) -> tuple[bytes, Callable[..., Awaitable[Any]]]:
    """The body of a request, and a `receive` that gives it once more."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    body = b"".join(message.get("body", b"") for message in messages)

    async def again() -> Any:
        return messages.pop(0) if messages else await receive()

    return body, again


def _edit(address: re.Match[str], body: bytes) -> Edit | None:
    """What a PATCH moves; None where it moves no points. FiftyOne itself refuses what is no JSON patch."""
    try:
        operations = json.loads(body)
    except ValueError:
        return None
    if not isinstance(operations, list):
        return None
    dataset_id, sample_id, label_id = address.groups()
    labels = set()
    for operation in operations:
        path = str(operation.get("path")) if isinstance(operation, dict) else ""
        if label_id is not None and _IN_LABEL.match(path):
            labels.add(label_id)
        elif label_id is None and (place := _IN_SAMPLE.match(path)):
            labels.add(".".join(place.groups()))
    return Edit(dataset_id, sample_id, frozenset(labels)) if labels else None


def sign(edit: Edit) -> None:
    """Note reviewer and time on the people whose joints were moved, beside who decided about them.

    `last_modified_at` stays: it is the App's own version of the sample.
    """
    from bson import ObjectId
    from fiftyone import Sample, load_dataset
    from fiftyone.core.odm import get_db_conn

    from annotator.review.decisions import reviewer
    from annotator.review.redraw import redraw

    samples = f"samples.{edit.dataset_id}"
    collection, of_sample = get_db_conn()[samples], {"_id": ObjectId(edit.sample_id)}
    people = set()
    for path in (POSE_LIST, KEYPOINT_LIST):
        field, inner = path.split(".")
        sample = collection.find_one(of_sample, {f"{path}._id": 1, f"{path}.person": 1}) or {}
        for place, label in enumerate((sample.get(field) or {}).get(inner) or ()):
            if edit.labels & {str(label["_id"]), f"{path}.{place}"}:
                people.add(label.get("person"))
    stamp = {"edited_by": reviewer(), "edited_at": now()}
    collection.update_one(
        of_sample,
        {"$set": {f"{KEYPOINT_LIST}.$[one].{name}": value for name, value in stamp.items()}},
        array_filters=[{"one.person": {"$in": sorted(people - {None})}}],
    )
    # FiftyOne writes back samples whole: the next edit must not start from one that this process holds.
    Sample._reload_docs(samples, sample_ids=[edit.sample_id])
    dataset = get_db_conn().datasets.find_one({"_id": ObjectId(edit.dataset_id)}, {"name": 1})
    if dataset is not None and any(map(is_added, people - {None})):
        redraw(load_dataset(dataset["name"]), people - {None})


def main() -> None:
    """Serve until the process is told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    import os

    os.environ["FIFTYONE_SERVER"] = "1"
    from fiftyone.server.app import app
    from fiftyone.server.events import set_port
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    set_port(port)
    asyncio.run(serve(signed(app, sign), config))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
