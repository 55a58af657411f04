"""Servers that speak as much of Google's and Azure's languages as runs need, in memory, on loopback.

No emulator of either can be installed from a package index. These show that the requests are those that the
documents of both services ask for, and that their answers are understood; what the services themselves do is
not shown.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

DATE = "Wed, 01 Jan 2025 00:00:00 GMT"


class Google(BaseHTTPRequestHandler):
    """The XML interface of Google Cloud Storage: paths are /bucket/key."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]]
    seen: ClassVar[list[tuple[str, str, dict[str, str]]]]
    prefix_of_names = 2  # parts of a path before the key, the first one empty

    def is_conditional(self) -> bool:
        """Whether a write is to happen only where there is nothing yet."""
        return self.headers.get("x-goog-if-generation-match") == "0"

    def listing(self, entries: list[tuple[str, int]]) -> str:
        """The answer to a question for names."""
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><ETag>e</ETag>"
            "<LastModified>2025-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, size in entries
        )
        return f"<ListBucketResult>{rows}</ListBucketResult>"

    refused = 412

    def do_PUT(self) -> None:
        key, _ = self._asked()
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with lock:
            if self.is_conditional() and key in self.objects:
                self._answer(self.refused, b"<Error><Code>exists</Code></Error>")
                return
            self.objects[key] = data
        self._answer(201 if self.refused == 409 else 200)

    def do_GET(self) -> None:
        key, query = self._asked()
        if "prefix" in query or not key:
            prefix = query.get("prefix", [""])[0]
            found = [(key, len(data)) for key, data in sorted(self.objects.items()) if key.startswith(prefix)]
            self._answer(200, self.listing(found).encode())
        elif key in self.objects:
            self._answer(200, self.objects[key])
        else:
            self._answer(404)

    do_HEAD = do_GET  # noqa: N815 - the server's name for it

    def do_DELETE(self) -> None:
        key, _ = self._asked()
        self._answer(202 if self.objects.pop(key, None) is not None else 404)

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        self.seen.append((self.command, unquote(parts.path), {k.lower(): v for k, v in self.headers.items()}))
        key = "/".join(unquote(parts.path).split("/")[self.prefix_of_names :])
        return key, parse_qs(parts.query)

    def _answer(self, status: int, body: bytes = b"", kind: str = "application/xml") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", kind)
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", DATE)
        self.send_header("x-goog-generation", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Azure(Google):
    """Azure's blobs: paths are /account/container/key."""

    refused = 409
    prefix_of_names = 3

    def is_conditional(self) -> bool:
        return self.headers.get("If-None-Match") == "*"

    def do_POST(self) -> None:
        """Removals, many in one request: a part each, and an answer each."""
        self._asked()
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        answers = []
        for part in asked.split("Content-ID: ")[1:]:
            number, _, rest = part.partition("\r\n")
            path = unquote(urlsplit(rest.partition("DELETE ")[2].split(" ", 1)[0]).path)
            gone = self.objects.pop("/".join(path.split("/")[self.prefix_of_names :]), None) is not None
            answers.append(
                f"--batch\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
                f"HTTP/1.1 {'202 Accepted' if gone else '404 Not Found'}\r\n"
                f"x-ms-error-code: {'' if gone else 'BlobNotFound'}\r\n\r\n"
            )
        self._answer(202, ("".join(answers) + "--batch--\r\n").encode(), "multipart/mixed; boundary=batch")

    def listing(self, entries: list[tuple[str, int]]) -> str:
        rows = "".join(
            f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>{DATE}</Last-Modified>"
            f"<Content-Length>{size}</Content-Length><Content-Type>application/octet-stream</Content-Type>"
            "<Etag>e</Etag></Properties></Blob>"
            for key, size in entries
        )
        return f"<EnumerationResults><Blobs>{rows}</Blobs><NextMarker/></EnumerationResults>"


lock = threading.Lock()


def serve(language: type[Google]) -> tuple[ThreadingHTTPServer, type[Google]]:
    """A server with nothing in it, and what it holds and has seen."""
    own = type(language.__name__, (language,), {"objects": {}, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), own)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, own
