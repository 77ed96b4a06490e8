"""A server on loopback that has pictures, and fails in every way that servers do."""

import gzip
import io
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from small_images import encoded


def picture(form: str = "jpeg") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (12, 9), (200, 30, 90)).save(stream, form)
    return stream.getvalue()


def bomb() -> bytes:
    """Return a PNG of some bytes that declares 3.6 thousand million pixels."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(999))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


class PictureServer(ThreadingHTTPServer):
    """Answers by path; counts requests, and how many it had at once."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: Counter[str] = Counter()
        self.starts: list[float] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that end are what is tested."""


@contextmanager
def serving() -> Iterator[PictureServer]:
    server = PictureServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class _Handler(BaseHTTPRequestHandler):
    server: PictureServer
    protocol_version = "HTTP/1.1"
    is_counted = False

    def do_GET(self) -> None:
        server, path = self.server, self.path.lstrip("/")
        with server.lock:
            server.requests[path] += 1
            server.starts.append(time.monotonic())
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        self.is_counted = True
        try:
            self._answers().get(path.partition("/")[0], self._picture)()
        finally:
            self._leave()
            self.close_connection = True

    def _leave(self) -> None:
        """Count the request no longer; before its last bytes, after which a client begins its next one at once."""
        with self.server.lock:
            self.server.at_once -= self.is_counted
            self.is_counted = False

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's
        """Say nothing."""

    def _answers(self) -> dict[str, Callable[[], None]]:
        whole, page = encoded(7, "jpg", size=(40, 30)), b"<html>gone</html>"
        first = self.server.requests[self.path.lstrip("/")] == 1
        return {
            "404": lambda: self._send(404, page),
            "410": lambda: self._send(410, page),
            "500": lambda: self._send(500, page),
            "500-once": lambda: self._send(500, page) if first else self._picture(),
            "503-once": lambda: self._send(503, page, {"Retry-After": "0"}) if first else self._picture(),
            "429-long": lambda: self._send(429, page, {"Retry-After": "86400"}),
            "204": lambda: self._send(204, b""),
            "empty": lambda: self._send(200, b""),
            "page": lambda: self._send(200, page, {"Content-Type": "text/html"}),
            "svg": lambda: self._send(200, b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
            "half": lambda: self._send(200, whole[: len(whole) // 2]),
            "bomb": lambda: self._send(200, bomb()),
            "large": lambda: self._send(200, b"\xff\xd8\xff" + bytes(50_000)),
            "large-unsaid": lambda: self._raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(50_000)),
            "broken-off": lambda: self._raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + whole),
            "broken-chunks": lambda: self._raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nabc"),
            "compressed": lambda: self._send(200, gzip.compress(picture()), {"Content-Encoding": "gzip"}),
            "forbidden": lambda: self._send(200, picture(), {"X-Robots-Tag": "bot: noindex, NoAI"}),
            "garbage": lambda: self._raw(b"\x00\x01\x02 what\r\n\r\n"),
            "headers": lambda: self._raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n"),
            "nothing": lambda: self._raw(b""),
            "reset": self._reset,
            "silent": lambda: self.server.closing.wait(20),
            "drip": lambda: self._drip(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", b"x"),
            "drip-header": lambda: self._drip(b"HTTP/1.1 200 OK\r\n", b"X"),
            "moved": lambda: self._send(302, b"", {"Location": self.server.url("after-moving")}),
            "circle": lambda: self._send(302, b"", {"Location": self.server.url("circle")}),
            "to-file": lambda: self._send(302, b"", {"Location": "file:///etc/passwd"}),
            "to-ftp": lambda: self._send(302, b"", {"Location": "ftp://127.0.0.1/x.jpg"}),
            "png": lambda: self._send(200, picture("png")),
            "webp": lambda: self._send(200, picture("webp")),
            "gif": lambda: self._send(200, picture("gif")),
            "slow": self._slow,
        }

    def _picture(self) -> None:
        self._send(200, encoded(zlib.crc32(self.path.encode()), "jpg"), {"Content-Type": "image/jpeg"})

    def _slow(self) -> None:
        self.server.closing.wait(0.15)
        self._picture()

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self._leave()
        self.wfile.write(content)

    def _raw(self, content: bytes) -> None:
        self.wfile.write(content)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _drip(self, start: bytes, drop: bytes) -> None:
        self.wfile.write(start)
        while not self.server.closing.wait(0.05):
            self.wfile.write(drop)
