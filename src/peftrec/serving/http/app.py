"""The endpoints of `peftrec serve`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, get_type_hints

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from peftrec import __version__
from peftrec.errors import DataError, UserError, nearest_name
from peftrec.outputs.safe_text import for_line
from peftrec.serving.http.asking import UnknownError
from peftrec.serving.http.limits import LONGEST_ID, Limits
from peftrec.serving.http.messages import (
    AddAnswer,
    EncodeAnswer,
    EncodeBody,
    Health,
    ItemsBody,
    NewItem,
    Problem,
    RecommendAnswer,
    RecommendBody,
)
from peftrec.serving.http.metrics import CONTENT_TYPE, Metrics
from peftrec.serving.http.middleware import BoundedBodies, CountedRequests, KnownHosts
from peftrec.serving.http.served_run import NotKeptError, ServedRun
from peftrec.serving.http.worker import BusyError, Worker

PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "There is no such run, user or item."},
    408: {"model": Problem, "description": "The request's body did not come in time."},
    413: {"model": Problem, "description": "The request is too large."},
    422: {"model": Problem, "description": "The request is faulty, or asks for more than a limit allows."},
    503: {"model": Problem, "description": "Too many requests wait; `Retry-After` says when to ask again."},
    507: {"model": Problem, "description": "Items were not added, because they could not be kept."},
}
RETRY_AFTER = {"Retry-After": "1"}
SECONDS_TO_STOP = 1.0
"""For what the worker computes when no request waits for it any more."""
_OURS = {
    "Input should be a valid ": "expected a valid ",
    "Input should be ": "expected a value ",
    "List should have ": "expected a list of ",
    "String should have ": "expected text of ",
    " after validation": "",
}
"""What pydantic says, in the words of whoever sends JSON."""
MOST_SAID = 20
"""Mistakes of one request that are told: everybody waits while words like its own are looked for."""
LONGEST_MESSAGE = 500
"""Characters: a message names what was sent, which may be as long as a request."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """Runs, and what answers requests about them."""

    runs: Mapping[str, ServedRun]
    worker: Worker
    metrics: Metrics
    limits: Limits
    hosts: tuple[str, ...] = ("*",)
    """Names by which requests may call the machine: a page that a browser has open could send others."""

    def named(self, name: str | None) -> ServedRun:
        """Return a run. Raises UnknownError for a name that is none, DataError where it is left out among several."""
        if name is None and len(self.runs) == 1:
            return next(iter(self.runs.values()))
        if name is None:
            raise DataError(f"run: it is left out, and this service has several; name one of {', '.join(self.runs)}")
        if name not in self.runs:
            raise UnknownError(f"run: there is no {name!r}; this service has {', '.join(self.runs)}")
        return self.runs[name]


async def computed(waiting: "Future[Any]", status: int = 200) -> Response:
    """Return what the worker computes. It is an answer of ours, so FastAPI need not check it again."""
    answer: BaseModel = await asyncio.wrap_future(waiting)
    return Response(answer.model_dump_json(), status, media_type="application/json")


def build_app(service: Service) -> FastAPI:
    """Return the application; its worker runs from start-up to shutdown."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        yield
        await asyncio.to_thread(service.worker.stop, SECONDS_TO_STOP)

    app = FastAPI(
        title="peftrec",
        version=__version__,
        description="Recommendations of finished runs.",
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        middleware=[
            Middleware(CountedRequests, metrics=service.metrics),
            Middleware(KnownHosts, hosts=service.hosts),
            Middleware(BoundedBodies, limits=service.limits),
        ],
    )
    _add_endpoints(app, service)
    _add_problems(app)
    return app


def _add_endpoints(app: FastAPI, service: Service) -> None:
    @app.post("/recommend", responses=PROBLEMS, response_model=RecommendAnswer)
    async def recommend(body: RecommendBody) -> Response:
        """The best items for a user of the run, or after a history of items."""
        return await computed(service.worker.submit(service.named(body.run).recommend, body))

    @app.post("/encode", responses=PROBLEMS, response_model=EncodeAnswer)
    async def encode(body: EncodeBody) -> Response:
        """Vectors of new items, by their titles and images."""
        return await computed(service.worker.submit_parts(service.named(body.run).encode(body)))

    @app.post("/items", responses=PROBLEMS, response_model=AddAnswer, status_code=201)
    async def add_items(body: ItemsBody) -> Response:
        """New items that are recommended, and may stand in histories, from now on."""
        return await computed(service.worker.submit_parts(service.named(body.run).add(body)), status=201)

    @app.head("/health", include_in_schema=False)
    @app.get("/health")
    async def health() -> Health:
        """Which runs are served."""
        return Health(status="ok", runs=[run.describe() for run in service.runs.values()])

    @app.head("/metrics", include_in_schema=False)
    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Requests, errors, seconds and batch sizes, as Prometheus reads them."""
        service.metrics.waiting.set(service.worker.num_waiting)
        for name, run in service.runs.items():
            service.metrics.items.labels(name).set(len(run.rows))
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _add_problems(app: FastAPI) -> None:
    """Answer every mistake with one message in one form."""

    @app.exception_handler(UserError)
    async def user_error(_: Request, error: UserError) -> JSONResponse:
        return _problem(_status(error), str(error))

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400 and error.__cause__ is not None:  # noqa: PLR2004 - FastAPI's for what json raised
            return _problem(422, f"the body cannot be read: {_unread(error.__cause__)}")
        return _problem(error.status_code, _routed(error) or str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def faulty(request: Request, error: RequestValidationError) -> JSONResponse:
        if error.body is None:
            return _problem(422, "the body is empty or null; send a JSON object")
        if isinstance(error.body, bytes):  # FastAPI has not read it
            return _problem(422, "the body is not said to be JSON; send the header content-type: application/json")
        body = get_type_hints(request.scope["endpoint"])["body"]
        return _problem(422, "; ".join(_said(detail, body) for detail in error.errors()[:MOST_SAID]))

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, __: Exception) -> JSONResponse:  # which then goes to the server's log
        return _problem(500, "the service failed at this request; its standard error says where")


def _status(error: UserError) -> int:
    kinds = {BusyError: 503, UnknownError: 404, NotKeptError: 507}
    return next((status for kind, status in kinds.items() if isinstance(error, kind)), 422)


def _problem(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    retry = RETRY_AFTER if status == 503 else {}  # noqa: PLR2004 - HTTP's own
    short = message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}..."
    return JSONResponse(Problem(error=short).model_dump(), status, {**(headers or {}), **retry})


def _unread(cause: BaseException) -> str:
    if isinstance(cause, RecursionError):
        return "it is nested too deeply"
    if isinstance(cause, UnicodeDecodeError):
        return "it is not UTF-8"
    return "a number in it has too many digits" if isinstance(cause, ValueError) else "it is no JSON"


def _routed(error: HTTPException) -> str | None:
    """Say what to ask in place of what is no endpoint."""
    if error.status_code == 404:  # noqa: PLR2004 - Starlette's: what is missing in a run is an UnknownError
        return "there is no such path; GET /openapi.json lists those that are there"
    allowed = Headers(error.headers).get("allow")
    return None if allowed is None else f"this path takes {allowed}"


def _said(detail: Mapping[str, Any], body: type[BaseModel]) -> str:
    """Say what is wrong with a place of a request, without what stands there, which may be long."""
    if detail["type"] == "json_invalid":
        return f"the body is no JSON: {detail['ctx']['error']}"
    parts = detail["loc"][1:]
    place = for_line(".".join(str(part) for part in parts))
    if detail["type"] == "extra_forbidden":
        key, known = str(parts[-1]), (body if len(parts) == 1 else NewItem).model_fields
        near = nearest_name(key, known) if len(key) <= LONGEST_ID else None
        if near is None and known is NewItem.model_fields:
            return f'{place}: no such key; a further text stands in "texts", by its name: "texts": {{NAME: TEXT}}'
        return f"{place}: no such key" + (f"; did you mean {near}?" if near else "")
    if not place and detail["type"].endswith("_type"):
        return "the body is no JSON object; send one, such as {...}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    for theirs, ours in _OURS.items():
        message = message.replace(theirs, ours)
    return f"{place}: {message}" if place else message
