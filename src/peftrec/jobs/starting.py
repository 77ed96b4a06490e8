"""Processes of this program: each in a group of its own, ended when this process is gone.

A process is started fresh, or forked from a server that has imported what it needs (see `fork_server`). In both its
standard input is a pipe whose other end is here and never written to: when this process dies, however it dies, the pipe
ends, and the other one ends itself (see `attaching`).
"""

import json
import os
import platform
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Protocol

from peftrec.devices import SETTLED, THREADS, settle_threads
from peftrec.errors import UserError
from peftrec.jobs.attaching import interrupts_blocked
from peftrec.jobs.fork_server import LENGTH_BYTES, Request
from peftrec.jobs.temporary import temporary_folder

_LOOK_SECONDS = 1.0
SERVER = "PEFTREC_FORK_SERVER"
"""Names, in the environment, the socket of the server that this process may ask."""
_OF_EVERY_PROCESS = {
    "PYTHONUNBUFFERED": "1",  # lines come as they are written
    "PYTHONSAFEPATH": "1",  # the folder that a process happens to stand in holds no modules for it
    "OPENBLAS_NUM_THREADS": "1",  # numpy's, which would start its threads when it is imported
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's allocator, likewise
}
"""The last two because a process that is forked from must have one thread; all jobs have them, however they start."""
_FREE = frozenset(
    {SERVER, THREADS, SETTLED, "CUDA_VISIBLE_DEVICES", "PWD", "OLDPWD", "PYTHONPATH", "TMPDIR", *_OF_EVERY_PROCESS}
)
_FREE_PREFIXES = ("SLURM_", "SUBMITIT_", "WANDB_", "PYTEST_", "COLUMNS", "LINES")
_OF_RANKS = frozenset(
    {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"}
)
"""Variables that are read when something is asked for, and not when a module is imported; a process that differs from
the server in any other is started fresh."""


class Process(Protocol):
    """A started process, as `subprocess.Popen` is one."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Return its status, negative for the signal that ended it; None while it runs."""
        ...

    def wait(self) -> int:
        """Return its status when it has ended."""
        ...


@dataclass(frozen=True, kw_only=True)
class Program:
    """What a process runs: `python -m module arguments`."""

    module: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    threads: int | None = None
    """Threads that torch computes with; None leaves it to the environment."""


@dataclass
class Running:
    """A process, the end of its standard input that keeps it alive, and its output where it is read here."""

    process: Process
    lifeline: int
    output: IO[str] | None

    def signal(self, number: signal.Signals) -> None:
        """Signal it and what it started, as long as anything of it is left."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def close(self, *, is_drained: bool = True) -> None:
        """Close both ends; output that a stray process still holds open is left to the thread that reads it."""
        with suppress(OSError):
            os.close(self.lifeline)
        if self.output is not None and is_drained:
            self.output.close()


class ForkServer:
    """Starts the server when it is first needed, and asks it for processes. One that was there already, because this
    process comes from it, is asked too."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._environment: dict[str, str] = {}
        self._socket = ""

    @property
    def address(self) -> str:
        """The socket that a process with it in its environment, under SERVER, asks; empty before the start."""
        return self._socket

    def inherit(self) -> None:
        """Ask the server that this process comes from, if there is one."""
        inherited = os.environ.get(SERVER)
        if inherited and not self._socket and can_fork():
            self._socket, self._environment = inherited, dict(os.environ)
            settle_threads(self._environment)

    def start(self, *, threads: int | None = None) -> None:
        """Begin to import, so that the first process need not wait for all of it; `threads` are those that most of its
        processes will compute with."""
        self.inherit()
        if self._socket or not can_fork():
            return
        self._folder = temporary_folder()  # for its owner alone
        self._socket = str(Path(self._folder.name) / "socket")
        self._environment = {**os.environ, SERVER: self._socket, **_OF_EVERY_PROCESS}
        settle_threads(self._environment)
        if threads is not None:
            self._environment[THREADS] = str(threads)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._socket)
            listener.listen()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "peftrec.jobs.fork_server", str(listener.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                env={**self._environment, "PYTHONPATH": os.pathsep.join(_search_path())},
                start_new_session=True,
            )

    def fits(self, program: Program) -> bool:
        """Say whether what the server has imported is what a fresh process of this environment would import."""
        if not self._socket:
            return False
        names = {*program.environment, *self._environment}
        return all(
            program.environment.get(name) == self._environment.get(name)
            for name in names
            if name not in _FREE | _OF_RANKS and not name.startswith(_FREE_PREFIXES)
        )

    def fork(self, program: Program, streams: tuple[int, int, int]) -> "ForkedProcess":
        """Return a process forked from the server. Raises UserError where the server is gone, RuntimeError where what
        must hold before a fork does not."""
        request = Request(
            module=program.module,
            arguments=program.arguments,
            environment={**program.environment, SERVER: self._socket},
            folder=str(Path.cwd()),
            path=_search_path(),
            threads=program.threads or _threads_of(program.environment),
        )
        content = request.model_dump_json().encode()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self._socket)
            socket.send_fds(connection, [b"!"], list(streams))
            connection.sendall(len(content).to_bytes(LENGTH_BYTES) + content)
            return ForkedProcess(connection)
        except OSError as error:
            connection.close()
            raise UserError(
                f"the process that jobs are forked from is gone ({error}); give the same command again: finished runs "
                "are kept"
            ) from error

    def stop(self) -> None:
        """Let the server end."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
        if self._folder is not None:
            self._folder.cleanup()
        self._socket, self._process, self._folder = "", None, None


class ForkedProcess:
    """A process that the server forked; its connection says how it ends."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reading = threading.Lock()
        self._pending = b""
        self._status: int | None = None
        first = self._line(flags=0)
        if first is None:
            raise ConnectionError("it ended before it answered")
        if "error" in first:
            raise RuntimeError(first["error"])
        self.pid = int(first["process_id"])

    def poll(self) -> int | None:
        with self._reading:
            if self._status is None:
                with suppress(BlockingIOError):
                    last = self._line(flags=socket.MSG_DONTWAIT)
                    # Without the server nobody knows; what it left behind is ended with the group.
                    self._status = -signal.SIGKILL if last is None else int(last["status"])
                    self._connection.close()
            return self._status

    def wait(self) -> int:
        while (status := self.poll()) is None:
            with suppress(OSError, ValueError):  # closed meanwhile: another thread has the status
                select.select([self._connection], [], [], _LOOK_SECONDS)
        return status

    def _line(self, *, flags: int) -> dict[str, Any] | None:
        while b"\n" not in self._pending:
            part = self._connection.recv(4096, flags)
            if not part:
                return None
            self._pending += part
        line, _, self._pending = self._pending.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


def start(program: Program, server: ForkServer | None, *, reads_output: bool) -> Running:
    """Start a process in a group of its own: Ctrl-C reaches this process alone, which passes it on once.

    It starts with SIGINT blocked and lets it through when it can act on it: a signal that comes while an interpreter
    starts may be swallowed there (by a callback of the import system, whose errors are not passed on).
    """
    environment = {**program.environment, **_OF_EVERY_PROCESS}
    settle_threads(environment)
    program = replace(program, environment=environment)
    theirs, lifeline = os.pipe()
    read_end, write_end = os.pipe() if reads_output else (None, None)
    out = sys.__stdout__.fileno() if write_end is None else write_end  # type: ignore[union-attr]
    error = sys.__stderr__.fileno() if write_end is None else write_end  # type: ignore[union-attr]
    try:
        with interrupts_blocked():
            if server is not None and server.fits(program):
                process: Process = server.fork(program, (theirs, out, error))
            else:
                process = _fresh(program, (theirs, out, error))
    finally:
        os.close(theirs)
        if write_end is not None:
            os.close(write_end)
    output = None if read_end is None else os.fdopen(read_end, errors="replace")
    return Running(process, lifeline, output)


def _fresh(program: Program, streams: tuple[int, int, int]) -> "subprocess.Popen[bytes]":
    environment = {**program.environment, "PYTHONPATH": os.pathsep.join(_search_path())}
    if program.threads is not None:
        environment[THREADS] = str(program.threads)
    standard_input, out, error = streams
    return subprocess.Popen(
        [sys.executable, "-m", program.module, *program.arguments],
        stdin=standard_input,
        stdout=out,
        stderr=error,
        env=environment,
        start_new_session=True,
    )


def can_fork() -> bool:
    """Say whether a process that has imported much can be forked safely here: where its threads can be counted."""
    return platform.system() == "Linux"


def _threads_of(environment: Mapping[str, str]) -> int | None:
    number = environment.get(THREADS, "")
    return int(number) if number.isdecimal() and int(number) else None


def _search_path() -> tuple[str, ...]:
    """Return where this process finds modules, without the folder that it happens to stand in."""
    return tuple(place for place in sys.path if place)
