"""What stands before the endpoints: requests are counted and timed, and bodies that are too large are refused."""

import asyncio
import re
import time
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peftrec.serving.http.limits import Limits
from peftrec.serving.http.metrics import Metrics

NO_ENDPOINT = "none"
"""The endpoint of a request for a path that is none."""
MOST_DISCARDED = 8
"""Times the largest body that are read of a larger one."""


def refusal(status: int, message: str) -> JSONResponse:
    """Return an answer in the one form that mistakes have; the connection is not used again."""
    return JSONResponse({"error": message}, status, {"connection": "close"})


class CountedRequests:
    """Counts each request with its endpoint, status and seconds."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, has_begun = time.perf_counter(), 500, False

        async def send_noting_the_status(message: Message) -> None:
            nonlocal status, has_begun
            if message["type"] == "http.response.start":
                status, has_begun = message["status"], True
            await send(message)

        self.metrics.open.inc()
        try:
            await self.app(scope, receive, send_noting_the_status)
        except asyncio.CancelledError:  # the service ends, and waits no longer
            if not has_begun:
                await refusal(503, "the service ends; ask another one")(scope, receive, send_noting_the_status)
        finally:
            self.metrics.open.dec()
            endpoint: Any = scope.get("endpoint")
            self.metrics.count(getattr(endpoint, "__name__", NO_ENDPOINT), status, time.perf_counter() - started)


class KnownHosts:
    """Answers only those who call the machine by one of its names; `*` stands for all. (Starlette's own middleware for
    this answers in plain text.)"""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = re.sub(r":\d*$", "", Headers(scope=scope).get("host", "")) if scope["type"] == "http" else "*"
        if "*" in self.hosts or name == "*" or name.lower() in self.hosts:
            await self.app(scope, receive, send)
        else:
            message = f"the header Host names another machine; call this one {' or '.join(dict.fromkeys(self.hosts))}"
            await refusal(400, message)(scope, receive, send)


class BoundedBodies:
    """Refuses bodies with 413 that say that they are too large, or turn out to be while they are read, and with 408
    those that do not come in time."""

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body, headers = Body(receive, self.limits), Headers(scope=scope)
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) <= self.limits.max_body_bytes:
            await self.app(scope, body.receive_bounded, send)
            return
        try:
            if headers.get("expect", "").lower() != "100-continue":  # who sends that waits for an answer first
                await body.discard()
            raise body.too_large()
        except HTTPException as error:
            await refusal(error.status_code, error.detail)(scope, receive, send)


class Body:
    """The body of one request, while it comes."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self.limits = limits
        self._receive = receive
        self._end = asyncio.get_running_loop().time() + limits.max_body_seconds
        self._num_received = 0
        self._has_more = True

    async def receive_bounded(self) -> Message:
        """Return the next piece. Raises HTTPException for too large a body, and one that does not come in time."""
        message = await self._receive_in_time()
        if self._num_received > self.limits.max_body_bytes:
            await self.discard()
            raise self.too_large()
        return message

    async def discard(self) -> None:
        """Read on and keep nothing: many clients read no answer before they have sent all. What is many times too large
        is not read to its end."""
        while self._has_more and self._num_received < MOST_DISCARDED * self.limits.max_body_bytes:
            await self._receive_in_time()

    def too_large(self) -> HTTPException:
        """Return what refuses a body that is."""
        return HTTPException(
            413,
            f"the request is larger than the {self.limits.max_body_bytes:,} bytes that this service allows "
            f"(max_body_mib={self.limits.max_body_mib}); send fewer or smaller images at a time",
            {"connection": "close"},
        )

    async def _receive_in_time(self) -> Message:
        if not self._has_more:
            return await self._receive()  # which comes when the client goes
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError as error:
            seconds = self.limits.max_body_seconds
            late = f"the body did not come within {seconds} seconds (max_body_seconds={seconds}); send it at once"
            raise HTTPException(408, late, {"connection": "close"}) from error
        self._num_received += len(message.get("body", b""))
        self._has_more = message.get("more_body", False)
        return message
