"""Downloads against a server that stalls, breaks off, lies about size, sends wrong bytes, or is not there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from annotator.errors import UserError
from annotator.models.weights.fetch import (
    MissingWeightsError,
    Patience,
    fetch,
    fetch_all,
    find,
    sha256_prefix,
)

BODY = os.urandom(3 << 20)
DIGEST = hashlib.sha256(BODY).hexdigest()
NAME = f"net_coco-256x192-{DIGEST[:8]}_20230314.pth"
QUICK = Patience(attempts=3, connect_seconds=5, stall_seconds=0.3, pause_seconds=0.01)


class Server(ThreadingHTTPServer):
    """Serves BODY under any name; `mood` says how badly, `requests` keeps the Range headers it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mood = "good"
        self.requests: list[str | None] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{NAME}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted, mood = self.headers.get("Range"), self.server.mood
        self.server.requests.append(wanted)
        first = len(self.server.requests) == 1
        if mood.isdecimal() and (first or mood != "503"):
            return self.send_error(int(mood))
        body = BODY[::-1] if mood == "wrong" else BODY
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and mood != "no range" else 0
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        length = len(body) - start
        announced = {"too long": length + 1000, "too short": length - 1000}.get(mood, length)
        self.send_header("Content-Length", str(announced))
        self.end_headers()
        breaks = first and mood in ("breaks", "stalls", "no range")
        end = start + (2 << 20) if breaks else len(body)
        if mood == "nothing":
            end = start
        self.wfile.write(body[start:end])
        if mood == "stalls" and first:
            self.server.released.wait(10)
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("ANNOTATOR_WEIGHTS_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_is_downloaded_once(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path, digest = fetch(server.url, progress=lambda *event: seen.append(event), patience=QUICK)
    assert path == tmp_path / "cache" / NAME and path.read_bytes() == BODY and digest == DIGEST
    assert seen[-1] == (NAME, len(BODY), len(BODY))
    assert [count for _, count, _ in seen] == sorted(count for _, count, _ in seen)
    assert fetch(server.url, patience=QUICK) == (path, digest)
    assert server.requests == [None]
    assert [file.name for file in path.parent.iterdir() if not file.name.startswith(".")] == [NAME]


@pytest.mark.parametrize("mood", ["breaks", "stalls"])
def test_a_broken_or_stalled_download_goes_on_where_it_stopped(server: Server, mood: str) -> None:
    server.mood = mood
    path, _ = fetch(server.url, patience=QUICK)
    assert path.read_bytes() == BODY
    assert server.requests == [None, f"bytes={2 << 20}-"]


def test_without_ranges_it_starts_again(server: Server) -> None:
    server.mood = "no range"
    path, _ = fetch(server.url, patience=QUICK)
    assert path.read_bytes() == BODY


def test_what_an_earlier_process_left_is_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f".{NAME}.part").write_bytes(BODY[:1000])
    assert fetch(server.url, patience=QUICK)[0].read_bytes() == BODY
    assert server.requests == ["bytes=1000-"]


@pytest.mark.parametrize("left", [bytes(1000), bytes(len(BODY) + 5)])
def test_rubbish_from_an_earlier_process_costs_one_more_download(
    server: Server, tmp_path: Path, left: bytes
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f".{NAME}.part").write_bytes(left)
    assert fetch(server.url, patience=QUICK)[0].read_bytes() == BODY
    assert server.requests == [f"bytes={len(left)}-", None]


def test_a_server_that_announces_too_much_but_sends_the_right_bytes_is_believed_for_its_bytes(
    server: Server,
) -> None:
    server.mood = "too long"
    assert fetch(server.url, patience=QUICK)[0].read_bytes() == BODY


@pytest.mark.parametrize("mood", ["wrong", "too short"])
def test_wrong_bytes_are_never_placed(server: Server, tmp_path: Path, mood: str) -> None:
    server.mood = mood
    with pytest.raises(UserError, match=f"promises {DIGEST[:8]}"):
        fetch(server.url, patience=QUICK)
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_busy_server_is_asked_again_and_a_definite_answer_is_not(server: Server) -> None:
    server.mood = "503"
    assert fetch(server.url, patience=QUICK)[0].read_bytes() == BODY
    server.requests.clear()
    server.mood = "404"
    with pytest.raises(UserError, match="404"):
        fetch(server.url.replace("net_", "other_"), patience=QUICK)
    assert len(server.requests) == 1


def test_a_server_that_never_sends_anything_is_given_up(server: Server) -> None:
    server.mood = "nothing"
    with pytest.raises(MissingWeightsError, match="broke off"):
        fetch(server.url, patience=QUICK)
    assert len(server.requests) == QUICK.attempts


def test_without_a_network_all_missing_files_are_listed(server: Server, tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()
    there = tmp_path / "weights"
    there.mkdir()
    (there / NAME).write_bytes(BODY)
    urls = [f"http://127.0.0.1:9/{name}" for name in ("a-00000001.pth", NAME, "b-00000002.pth")]
    with pytest.raises(MissingWeightsError) as caught:
        fetch_all(urls, there, patience=QUICK)
    assert [name for name, _ in caught.value.files] == ["a-00000001.pth", "b-00000002.pth"]
    for part in ("--weights-dir", str(there), *urls[::2]):
        assert part in str(caught.value)


@pytest.mark.parametrize("mood", ["401", "403", "407"])
def test_a_proxy_that_refuses_is_no_network(server: Server, tmp_path: Path, mood: str) -> None:
    server.mood = mood
    urls = [server.url, server.url.replace("net_", "other_")]
    with pytest.raises(MissingWeightsError, match=f"refused with {mood}") as caught:
        fetch_all(urls, patience=QUICK)
    assert [address for _, address in caught.value.files] == urls and len(server.requests) == 1


def test_the_weights_folder_comes_first_and_is_checked(server: Server, tmp_path: Path) -> None:
    there = tmp_path / "weights"
    there.mkdir()
    (there / NAME).write_bytes(BODY)
    assert fetch(server.url, there) == (there / NAME, DIGEST) and find(server.url, there) == there / NAME
    (there / NAME).write_bytes(BODY[:-1])
    with pytest.raises(UserError, match="damaged"):
        fetch(server.url, there)
    assert server.requests == []


def test_two_processes_download_once(server: Server, tmp_path: Path) -> None:
    program = f"from annotator.models.weights.fetch import fetch; print(fetch({server.url!r})[1])"
    both = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in "ab"
    ]
    assert [process.communicate(timeout=120)[0].strip() for process in both] == [DIGEST, DIGEST]
    assert server.requests == [None]


@pytest.mark.parametrize("address", ["file:///etc/hostname-00000000.pth", "ftp://host/a-00000000.pth"])
def test_other_schemes_are_refused(server: Server, address: str) -> None:
    with pytest.raises(UserError, match="http"):
        fetch(address)


def test_the_hash_in_a_name() -> None:
    assert sha256_prefix("td-hm_res50_8xb64-210e_coco-256x192-04af38ce_20220923.pth") == "04af38ce"
    assert sha256_prefix("rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth") == "78e30dcc"
    assert sha256_prefix("cid_hrnet-w48_8xb20-140e_coco-512x512_a36c3ecf-20230207.pth") == "a36c3ecf"
    assert sha256_prefix("rtmpose-m_simcc-hand5_pt-aic-coco_210e-256x256-74fb594_20230320.pth") == "74fb594"
    assert sha256_prefix("atss_r101_fpn_1x_20200825-dfcadd6f.pth") == "dfcadd6f"
    assert sha256_prefix("yolox_s_8x8_300e_coco_20211121.pth") is None
    assert sha256_prefix("rtmw-dw-x-l_simcc-cocktail14_270e-256x192-20231122.pth") is None
