"""What stands before the endpoints: requests are counted and timed, and bodies that are too large are refused."""

import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peftrec.serving.http.limits import Limits
from peftrec.serving.http.metrics import Metrics

NO_ENDPOINT = "none"
"""The endpoint of a request for a path that is none."""


MOST_DISCARDED = 8
"""Times the largest body that are read of a larger one."""


class CountedRequests:
    """Counts each request with its endpoint, status and seconds."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_noting_the_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noting_the_status)
        finally:
            endpoint: Any = scope.get("endpoint")
            self.metrics.count(getattr(endpoint, "__name__", NO_ENDPOINT), status, time.perf_counter() - started)


class BoundedBodies:
    """Refuses with 413 what says that it is too large, and what turns out to be while it is read."""

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        num_received = 0

        async def receive_bounded() -> Message:
            nonlocal num_received
            message = await receive()
            num_received += len(message.get("body", b""))
            if num_received > self.limits.max_body_bytes:
                if message.get("more_body"):
                    await self._discard(receive)
                raise HTTPException(413, self._message)
            return message

        declared = dict(scope.get("headers", ())).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.limits.max_body_bytes:
            await self._discard(receive)
            await JSONResponse({"error": self._message}, 413)(scope, receive, send)
        else:
            await self.app(scope, receive_bounded, send)

    async def _discard(self, receive: Receive) -> None:
        """Read on and keep nothing: many clients read no answer before they have sent all. What is many times too large
        is not read to its end."""
        left = MOST_DISCARDED * self.limits.max_body_bytes
        has_more = True
        while has_more and left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
            has_more = message.get("more_body", False)

    @property
    def _message(self) -> str:
        return (
            f"the request is larger than the {self.limits.max_body_bytes:,} bytes that this service allows "
            f"(max_body_mib={self.limits.max_body_mib}); send fewer or smaller images at a time"
        )
