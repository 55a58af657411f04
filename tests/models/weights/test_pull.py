"""`annotator models pull`, and what a model does with what came: from the address to the network."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from annotator.cli.models import app
from annotator.errors import UserError
from annotator.models.openmmlab.build import build
from annotator.models.sources import resolve_pose
from annotator.models.zoo import catalogue

NAME = "litehrnet-18"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a server of this machine hands out."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("ANNOTATOR_WEIGHTS_DIR", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    (folder / "port").write_text(str(server.server_address[1]))
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def publish(folder: Path, content: object, monkeypatch: pytest.MonkeyPatch) -> str:
    """Hand out a checkpoint under a name with its hash, as the weights of `NAME`; returns the sha256."""
    torch.save(content, folder / "net.pth")
    digest = hashlib.sha256((folder / "net.pth").read_bytes()).hexdigest()
    (folder / "net.pth").rename(folder / f"net-{digest[:8]}_20230101.pth")
    url = f"http://127.0.0.1:{(folder / 'port').read_text()}/net-{digest[:8]}_20230101.pth"
    entry = replace(catalogue.find_pose(NAME), url=url)
    models = {**catalogue.pose_models(), entry.name: entry}
    monkeypatch.setattr(catalogue, "pose_models", lambda: models)
    return digest


def test_pulled_weights_are_those_of_the_network(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(resolve_pose(NAME, "random"), seed=3).network
    digest = publish(served, {"state_dict": network.state_dict(), "meta": {}}, monkeypatch)
    done = CliRunner().invoke(app, ["pull", NAME])
    assert done.exit_code == 0, done.output
    assert f"sha256 {digest}" in done.output
    # The server is not needed any more.
    for file in served.glob("*.pth"):
        file.unlink()
    source = resolve_pose(NAME)
    assert source.sha256 == digest
    loaded = build(source).network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())
    assert list(served.parent.glob("cache/**/*.safetensors"))


def test_programs_are_told_what_was_pulled(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = publish(served, {"state_dict": {}}, monkeypatch)
    done = CliRunner().invoke(app, ["pull", NAME, "demo-pose", "--json"])
    assert done.exit_code == 0, done.output
    fetched, shipped = json.loads(done.stdout)["models"]
    assert fetched["name"] == catalogue.find_pose(NAME).name
    for one, sha256 in (fetched, digest), (shipped, shipped["sha256"]):
        assert hashlib.sha256(Path(one["weights"]).read_bytes()).hexdigest() == sha256 == one["sha256"]


def test_pulled_weights_that_would_run_code_are_refused(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    publish(served, {"state_dict": {"weight": Attack()}}, monkeypatch)
    assert CliRunner().invoke(app, ["pull", NAME]).exit_code == 0
    with pytest.raises(UserError, match="refused"):
        build(resolve_pose(NAME))
    assert not (tmp_path / "ran").exists()
    # It would have run: this is what the file does where it is let.
    pickle.loads(pickle.dumps(Attack()))
    assert (tmp_path / "ran").exists()
