"""A request's head comes in time, or its connection ends; bodies have a limit of their own."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI, Request
from starlette.middleware import Middleware

from peftrec.serving.http.heads import TimedHeads
from peftrec.serving.http.limits import Limits
from peftrec.serving.http.listening import taken_port
from peftrec.serving.http.middleware import BoundedBodies
from peftrec.serving.http.serving import AnnouncingServer, server_of

LIMITS = Limits(max_head_seconds=1, max_body_mib=1)
SECONDS = 60.0
"""In which everything here must happen."""


@pytest.fixture(scope="module")
def server() -> Iterator[AnnouncingServer]:
    app = FastAPI(middleware=[Middleware(BoundedBodies, limits=LIMITS)])

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    server, listener = server_of(app, LIMITS), taken_port("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    wait_until(lambda: server.started)
    yield server
    server.should_exit = True
    thread.join(SECONDS)
    listener.close()


def wait_until(condition: object) -> None:
    end = time.monotonic() + SECONDS
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def connected(server: AnnouncingServer) -> Iterator[socket.socket]:
    port = server.servers[0].sockets[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        yield connection


def answer(connection: socket.socket) -> tuple[int, object]:
    """Read one answer of JSON, with the status."""
    head, content = b"", b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
    while len(content) < int(fields.get("content-length", 0)):
        content += connection.recv(4096)
    return int(head.split()[1]), json.loads(content) if content else None


LATE = {"error": "the request's head did not come within 1 seconds (max_head_seconds=1); send it at once"}


def test_a_head_that_does_not_come_ends_the_connection(server: AnnouncingServer) -> None:
    with connected(server) as connection:
        connection.sendall(b"POST /length HTTP/1.1\r\nhost: here\r\n")
        assert answer(connection) == (408, LATE)
        assert connection.recv(1) == b""


def test_a_connection_that_says_nothing_is_told_nothing(server: AnnouncingServer) -> None:
    with connected(server) as connection:
        assert connection.recv(1) == b""


def test_a_further_head_on_a_connection_has_the_same_time(server: AnnouncingServer) -> None:
    with connected(server) as connection:
        connection.sendall(b"POST /length HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\nab")
        assert answer(connection) == (200, 2)
        connection.sendall(b"P")
        assert answer(connection) == (408, LATE)
        assert connection.recv(1) == b""


def test_a_body_is_no_part_of_the_head(server: AnnouncingServer) -> None:
    with connected(server) as connection:
        connection.sendall(b"POST /length HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n")
        wait_until(lambda: server.server_state.tasks)
        (protocol,) = server.server_state.connections
        assert isinstance(protocol, TimedHeads)
        assert protocol._end is None
        connection.sendall(b"ab")
        assert answer(connection) == (200, 2)


def test_who_waits_for_leave_gets_it_or_the_refusal_and_sends_nothing_in_vain(server: AnnouncingServer) -> None:
    head = b"POST /length HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    with connected(server) as connection:
        connection.sendall(head % 2)
        assert answer(connection) == (100, None)
        connection.sendall(b"ab")
        assert answer(connection) == (200, 2)
        connection.sendall(head % 2**21)
        status, said = answer(connection)
        assert status == 413
        assert "larger than the 1,048,576 bytes that this service allows (max_body_mib=1)" in str(said)
        assert connection.recv(1) == b""


@pytest.mark.parametrize("start", [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nno field\r\n\r\n"])
def test_what_is_no_request_is_told_in_the_one_form(start: bytes, server: AnnouncingServer) -> None:
    with connected(server) as connection:
        connection.sendall(start)
        assert answer(connection) == (400, {"error": "this is no request of HTTP/1.1"})
        assert connection.recv(1) == b""
