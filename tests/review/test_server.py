"""Whoever moves a joint in the App signs for that person, and for nobody else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from annotator.review.decisions import REVIEWER_VARIABLE
from annotator.review.load import load
from annotator.review.pull import pull
from annotator.review.server import Edit, sign, signed
from annotator.store import reviews

DATASET, SAMPLE, LABEL = "a" * 24, "b" * 24, "c" * 24
OF_SAMPLE = f"/dataset/{DATASET}/sample/{SAMPLE}"
# Two people of one picture.
C, D = 3 << 12 | 1, 3 << 12 | 2


def patch(app: Any, path: str, body: bytes, version: str = "") -> tuple[int, dict[str, str]]:
    """A PATCH in two parts; status and headers of the answer."""
    parts = [body[: len(body) // 2], body[len(body) // 2 :]]
    messages = [{"type": "http.request", "body": part, "more_body": part is parts[0]} for part in parts]
    answer: list[dict[str, Any]] = []
    headers = [(b"content-type", b"application/json-patch+json"), (b"if-match", version.encode())]
    scope = {"type": "http", "method": "PATCH", "path": path, "query_string": b"", "headers": headers}

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        answer.append(message)

    asyncio.run(app(scope, receive, send))
    return answer[0]["status"], {name.decode(): value.decode() for name, value in answer[0]["headers"]}


def moved(path: str) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": 0.5}


@pytest.mark.parametrize(
    ("path", "operations", "labels"),
    [
        (OF_SAMPLE, [moved("/poses/polylines/1/points/2/1/0")], {"poses.polylines.1"}),
        (OF_SAMPLE, [moved("/keypoints/keypoints/0/points/8")], {"keypoints.keypoints.0"}),
        (
            OF_SAMPLE,
            [moved("/poses/polylines/0/points"), moved("/poses/polylines/12/points/0")],
            {"poses.polylines.0", "poses.polylines.12"},
        ),
        (f"{OF_SAMPLE}/poses.polylines/{LABEL}", [moved("/points/2/1/0")], {LABEL}),
        (OF_SAMPLE, [moved("/poses/polylines/0/label"), moved("/tags/0")], None),
        (OF_SAMPLE, {"poses": None}, None),
        (f"/dataset/{DATASET}", [moved("/poses/polylines/0/points/0")], None),
    ],
)
def test_an_edit_names_the_labels_whose_points_it_moves(
    path: str, operations: Any, labels: set | None
) -> None:
    signatures, heard = [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        parts = [await receive(), await receive()]
        heard.append(json.loads(b"".join(part["body"] for part in parts)))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    patch(signed(app, signatures.append), path, json.dumps(operations).encode())
    assert heard == [operations]
    assert signatures == ([Edit(DATASET, SAMPLE, frozenset(labels))] if labels else [])


@pytest.mark.parametrize(("status", "body"), [(412, b'[{"path": "/points"}]'), (200, b"\xff no JSON")])
def test_what_was_not_stored_is_not_signed(status: int, body: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})

    answered, _ = patch(signed(app, lambda edit: pytest.fail(str(edit))), f"{OF_SAMPLE}/poses/{LABEL}", body)
    assert answered == status


def test_each_person_is_signed_for_by_who_dragged_them(run, place, fo, monkeypatch) -> None:
    """Through FiftyOne's own routes: two reviewers, two people in one picture."""
    from fiftyone.server.routes.sample import SampleRoutes
    from starlette.applications import Starlette
    from starlette.routing import Route

    dataset = fo.load_dataset(load(run.open(), place, quiet=True).dataset)
    app = signed(Starlette(routes=[Route(path, endpoint) for path, endpoint in SampleRoutes]), sign)
    # FiftyOne keeps one object of a sample in a process, as long as somebody holds it.
    sample = dataset[dataset.match({"index": 3}).first().id]
    address, version = f"/dataset/{dataset._doc.id}/sample/{sample.id}", sample.last_modified_at.isoformat()

    def drag(who: str, path: str, vertex: str) -> None:
        nonlocal version
        monkeypatch.setenv(REVIEWER_VARIABLE, who)
        status, headers = patch(app, path, json.dumps([moved(vertex)]).encode(), f'"{version}"')
        assert status == 200
        version = headers["etag"].strip('"')

    drag("anna", address, "/poses/polylines/0/points/2/1/0")
    # As in a view of people, which names the label in the address.
    pose = sample.poses.polylines[1].id
    drag("ben", f"{address}/poses.polylines/{pose}", "/points/2/1/0")
    pull(run.open(), place)
    first = reviews.read(run.open())
    assert {person: row.corrected_by for person, row in first.items()} == {C: "anna", D: "ben"}
    assert (first[C].corrected_at or "") < (first[D].corrected_at or "")

    drag("cleo", address, "/poses/polylines/1/points/0/0/1")
    assert pull(run.open(), place).new == 1
    found = reviews.read(run.open())
    assert found[C] == first[C] and found[D].corrected_by == "cleo"
