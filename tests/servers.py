"""One server of processes for all tests of a worker: a process is there in a fraction of a second."""

import atexit
import os
import sys
from collections.abc import Mapping
from functools import cache

import pytest

from peftrec.jobs.starting import SERVER, ForkServer, Program, Running, start


@cache
def running_server() -> ForkServer:
    """Return this worker's server, started when first asked for."""
    server = ForkServer()
    server.start()
    atexit.register(server.stop)
    return server


@pytest.fixture
def job_server(monkeypatch: pytest.MonkeyPatch) -> ForkServer:
    """Let whatever starts processes in a test fork them from the worker's server."""
    server = running_server()
    monkeypatch.setenv(SERVER, server.address)
    return server


def start_command(
    arguments: list[str], environment: Mapping[str, str] | None = None, *, module: str = "peftrec.__main__"
) -> Running:
    """Start `peftrec ARGUMENTS`, or another module, in a process of its own; its output is read here."""
    program = Program(module=module, arguments=tuple(arguments), environment={**os.environ, **(environment or {})})
    sys.stdout.flush()
    return start(program, running_server(), reads_output=True)


def run_command(
    arguments: list[str], environment: Mapping[str, str] | None = None, *, module: str = "peftrec.__main__"
) -> tuple[int, str]:
    """Run it to its end; return its status and what it said."""
    running = start_command(arguments, environment, module=module)
    assert running.output is not None
    said = running.output.read()
    status = running.process.wait()
    running.close()
    return status, said
