"""One server of processes for all tests of a worker: a process is there in a fraction of a second."""

import atexit
import os
import sys
from collections.abc import Mapping
from functools import cache

import pytest

from peftrec.jobs.starting import SERVER, ForkedProcess, ForkServer, Program, Running, can_fork, start

ENVIRONMENT: dict[str, str] = {}
"""What processes are given: as it was before the first test. Trainings and notebooks in this process leave variables
behind, and a process that differs from the server in one would be started fresh, which takes seconds."""


@cache
def running_server() -> ForkServer:
    """Return this worker's server, started when first asked for."""
    server = ForkServer()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "environ", ENVIRONMENT)
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
    server = running_server()
    program = Program(module=module, arguments=tuple(arguments), environment={**ENVIRONMENT, **(environment or {})})
    sys.stdout.flush()
    running = start(program, server, reads_output=True)
    assert isinstance(running.process, ForkedProcess) == can_fork(), "the server's environment is another"
    return running


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
