"""Heads of requests: how long each may take to come, and what a connection is told whose head is late or is none.

uvicorn ends a connection that is silent after an answer, and waits without end for the rest of a head.
"""

import asyncio
import json
from http import HTTPStatus
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedHeads(H11Protocol):
    """A connection on which every head comes in time."""

    seconds: ClassVar[int]

    _end: asyncio.TimerHandle | None = None
    """Set while a head is waited for."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._wait_no_longer()
        elif self._end is None:  # the first bytes of a further request
            self._wait()

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1")

    def _wait(self) -> None:
        self._end = self.loop.call_later(self.seconds, self._give_up)

    def _wait_no_longer(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def _give_up(self) -> None:
        received, _ = self.conn.trailing_data
        if received:
            late = f"did not come within {self.seconds} seconds (max_head_seconds={self.seconds})"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request's head {late}; send it at once")
        self.transport.close()

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        answer = h11.Response(status_code=status, headers=headers, reason=status.phrase)
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def heads_within(seconds: int) -> type[TimedHeads]:
    """Return the protocol of connections on which every head comes within so many seconds."""
    return type("TimedHeads", (TimedHeads,), {"seconds": seconds})
