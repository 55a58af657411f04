"""A proxy in front of an object store that loses replies, refuses, contradicts and delays on demand."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What may be done to a request: nothing, the reply lost after the server has done it, an error after it or
# instead of it, or a delay before it.
PASS, LOSE_REPLY, FAIL_AFTER, FAIL, CONFLICT, DELAY = "pass", "lose-reply", "503-after", "503", "409", "delay"


class FaultProxy:
    """Use it as a context; `endpoint` is its address, `judge` says what happens to each (method, path)."""

    def __init__(self, server: str, judge: Callable[[str, str], str] = lambda method, path: PASS) -> None:
        self.judge = judge
        self.seen: list[tuple[str, str, str]] = []
        self.delay = 0.5
        proxy, target = self, urlsplit(server).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                verdict = proxy.judge(self.command, self.path)
                proxy.seen.append((self.command, self.path, verdict))
                if verdict == DELAY:
                    time.sleep(proxy.delay)
                if verdict in (FAIL, CONFLICT):
                    self._answer(503 if verdict == FAIL else 409, b"")
                    return
                connection = http.client.HTTPConnection(target, timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers))
                reply = connection.getresponse()
                content = reply.read()
                if verdict == LOSE_REPLY:
                    self.close_connection = True
                elif verdict == FAIL_AFTER:
                    self._answer(503, b"")
                else:
                    self._answer(reply.status, content, reply.getheaders())
                connection.close()

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _handle  # noqa: N815

            def _answer(self, status: int, content: bytes, headers: list[tuple[str, str]] = []) -> None:  # noqa: B006
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
