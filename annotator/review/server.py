"""The App's server of one review: FiftyOne's own, on loopback, which notes who corrected a joint.

Run as `python -m annotator.review.server --port PORT`, with the environment of `fiftyone_process.settings`.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]

# The App's style sheet asks a host outside for fonts: nobody needs them, and without a way out it waits.
_POLICY = (
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws: data: blob:; "
    b"frame-src 'self'"
)

# What the App calls when somebody drags a vertex: FiftyOne stores the new place, but not whose hand it was.
_EDIT = re.compile(r"^/dataset/([0-9a-f]{24})/sample/([0-9a-f]{24})")


def signed(
    app: Callable[..., Awaitable[None]], sign: Callable[[str, str], None]
) -> Callable[..., Awaitable[None]]:
    """The same ASGI application, calling `sign(dataset id, sample id)` after every edit that was stored.

    Its pages may load nothing from elsewhere.
    """

    async def wrapped(scope: Scope, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        edit = _EDIT.match(scope["path"]) if scope["method"] == "PATCH" else None

        async def watch(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", _POLICY)]
                if edit is not None and message["status"] < 300:
                    sign(edit[1], edit[2])
            await send(message)

        await app(scope, receive, watch)

    return wrapped


def _sign(dataset_id: str, sample_id: str) -> None:
    """Note reviewer and time on the sample, but not in `last_modified_at`: that is the App's own version."""
    from bson import ObjectId
    from fiftyone.core.odm import get_db_conn

    from annotator.review.decisions import reviewer

    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    get_db_conn()[f"samples.{dataset_id}"].update_one(
        {"_id": ObjectId(sample_id)}, {"$set": {"edited_by": reviewer(), "edited_at": now}}
    )


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
    asyncio.run(serve(signed(app, _sign), config))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
