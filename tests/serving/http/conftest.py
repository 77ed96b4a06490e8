"""Services over small finished runs, in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from peftrec.serving.http.app import Service, build_app
from peftrec.serving.http.request import ServeRequest
from peftrec.serving.http.serving import loaded_service

Serve = Callable[..., Service]


@pytest.fixture
def serve(train: Callable[..., Path]) -> Serve:
    """Load a service over runs that `train` trained, with words of the command line."""

    def load(*strategies: str, **own: str) -> Service:
        runs = [train(strategy) for strategy in strategies or ("full",)]
        return loaded_service(ServeRequest.of(runs, own, ()))

    return load


@pytest.fixture
def ask(serve: Serve) -> Iterator[Callable[..., TestClient]]:
    """Start a service and return what asks it."""
    started: list[TestClient] = []

    def start(*strategies: str, **own: str) -> TestClient:
        client = TestClient(
            build_app(serve(*strategies, **own)), base_url="http://127.0.0.1", raise_server_exceptions=False
        )
        client.__enter__()
        started.append(client)
        return client

    yield start
    for client in started:
        client.__exit__()
