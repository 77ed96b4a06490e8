"""A hub on loopback that gives out one checkpoint, and fails in the ways that hubs do."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

from small_families import COMMIT

OK = 200
Fault = Literal["breaks_off", "shorter", "html", "429", "503"]
"""The connection ends within the body, or the body is announced shorter than the file is, or a page comes in its place,
or a status."""
NAME = "someone/small"
PAGE = b"<!doctype html><html><body>Log in to the network of this hotel</body></html>"


class HubServer(ThreadingHTTPServer):
    """Has the files of `folder`; `faults` says for the end of a path what happens there."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.faults: dict[str, Fault] = {}
        self.retry_after: str | None = None
        self.waits: list[float] = []
        """Seconds for which the client waited before it asked again; in a test they pass at once."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are what is tested."""

    def fault_of(self, path: str) -> Fault | None:
        return next((fault for end, fault in self.faults.items() if path.endswith(end)), None)


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def _answer(self, *, has_body: bool) -> None:
        path = urlsplit(self.path).path
        file = self.server.folder / path.partition("/resolve/")[2].partition("/")[2]
        content = file.read_bytes() if "/resolve/" in path else self._api(path)
        fault = self.server.fault_of(path)
        if fault == "html":
            return self._send(OK, PAGE, has_body=has_body, kind="text/html")
        if fault is not None and fault.isdecimal():
            return self._send(int(fault), b"no", has_body=has_body)
        if fault is not None and has_body:
            return self._send(OK, content, has_body=True, sent=len(content) // 2, is_honest=fault == "breaks_off")
        return self._send(OK, content, has_body=has_body)

    def _api(self, path: str) -> bytes:
        folder = self.server.folder
        files = {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}
        if "/tree/" in path:
            entries = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": "a" * 40}
                for name, file in files.items()
            ]
            return json.dumps(entries).encode()
        siblings = [{"rfilename": name} for name in files]
        return json.dumps({"id": NAME, "sha": COMMIT, "siblings": siblings, "private": False}).encode()

    def _send(
        self,
        status: int,
        content: bytes,
        *,
        has_body: bool,
        kind: str = "application/json",
        sent: int | None = None,
        is_honest: bool = True,
    ) -> None:
        """Answer; with `sent` the body ends early, and its announced length says so or not."""
        body = content[:sent]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if is_honest else len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if status != OK and self.server.retry_after is not None:
            self.send_header("Retry-After", self.server.retry_after)
        self.end_headers()
        if has_body:
            self.wfile.write(body)
        if sent is not None:
            self.close_connection = True


@contextmanager
def hub(folder: Path, cache: Path) -> Iterator[HubServer]:
    """Serve `folder` as a repository, to a client with an empty cache that may ask."""
    server = HubServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        patched.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patched.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        patched.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        patched.setattr("time.sleep", server.waits.append)
        try:
            yield server
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
