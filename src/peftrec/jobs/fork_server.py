"""`python -m peftrec.jobs.fork_server SOCKET`: imports once what every job needs, and forks a process for each request.

A job then starts in a fraction of a second, where importing takes several. What must hold for that, and is checked
before every fork: this process has one thread, has asked CUDA for nothing, not even the number of devices, and has
loaded no code of the user's. What it has loaded is what the jobs run, whatever is written to the files meanwhile.

It ends when whoever started it closes its standard input. A request comes on a connection of its own, with the
standard streams of the new process; the answer is a line with its number at once, and one with its status at its end.
"""

import atexit
import ctypes
import gc
import importlib.util
import json
import os
import selectors
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from peftrec.code import user_code
from peftrec.code.commit import package_state
from peftrec.code.fingerprint import take_fingerprint
from peftrec.code.places import PACKAGE
from peftrec.settings.run_identity import RUN_PACKAGES

THREADS_OF_THIS_PROCESS = Path("/proc/self/task")
LENGTH_BYTES = 8
NUM_STREAMS = 3
_NOT_FOR_JOBS = ("cli", "cold_start", "planning", "profiles", "series", "serving", "testing", "tiny_towers")
"""Rooms that no job of a sweep enters; some of them need packages that may be missing."""


_RUN_AS_SCRIPTS = ("peftrec.jobs.fork_server", "peftrec.jobs.job", "peftrec.jobs.finished", "peftrec.measuring.job")


class Request(BaseModel):
    """What a new process is to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    module: str
    """Run as `python -m MODULE ARGUMENTS` would."""
    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    path: tuple[str, ...]
    """Its `sys.path`."""
    threads: int | None
    """Threads that torch computes with; null leaves what the environment said."""


def main(arguments: list[str]) -> None:
    """Serve until standard input ends. In a forked process, run what was asked for."""
    listener = socket.socket(fileno=int(arguments[0]))
    # Held back here for ever, and in a forked process until it can act on it: an ignored one would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    count_cuda_calls = load()
    request = Server(listener, count_cuda_calls).serve()
    if request is not None:
        become(request)


def load() -> Callable[[], int]:
    """Import what jobs need, from text that is remembered; return what counts the questions that CUDA was asked."""
    user_code.remember_package()
    import torch

    calls = _counted(torch._C, "_cuda_getDeviceCount")
    for module in user_code.package_modules(without=_NOT_FOR_JOBS):
        if module not in _RUN_AS_SCRIPTS:
            importlib.import_module(module)
    importlib.import_module("peft")
    # Remembered, as the modules are: every job names its run by their hashes, and says which commit they are of.
    take_fingerprint(user_code.package_modules(without=_NOT_FOR_JOBS), RUN_PACKAGES, user_code.sources())
    package_state()
    user_code.check_package_unchanged()
    gc.collect()
    gc.freeze()  # what is there now is never collected: a collection would copy all its pages in every job
    return calls


def _counted(owner: Any, name: str) -> Callable[[], int]:
    original = getattr(owner, name, None)  # a build without CUDA has none
    calls: list[None] = []
    if original is not None:

        def counting(*arguments: Any, **keywords: Any) -> Any:
            calls.append(None)
            return original(*arguments, **keywords)

        setattr(owner, name, counting)
    return lambda: len(calls)


@dataclass
class _Child:
    process_id: int
    connection: socket.socket


class Server:
    """Accepts requests, forks, and tells how each process ended."""

    def __init__(self, listener: socket.socket, count_cuda_calls: Callable[[], int]) -> None:
        self.listener = listener
        self.count_cuda_calls = count_cuda_calls
        self.children: dict[int, _Child] = {}
        self.wakeup, self._signalled = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(self._signalled, False)

    def serve(self) -> Request | None:
        """Return None when there is nobody left to serve, and in a forked process what it is to become."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._signalled)
        with selectors.DefaultSelector() as selector:
            for readable in (self.listener.fileno(), sys.stdin.fileno(), self.wakeup):
                selector.register(readable, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self.wakeup in ready:
                    os.read(self.wakeup, 4096)
                    self._tell_ends()
                if self.listener.fileno() in ready and (request := self._accept()) is not None:
                    return request
                if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 1):
                    return None

    def _accept(self) -> Request | None:
        """Fork for one request; the request in the new process, None in this one."""
        connection, _ = self.listener.accept()
        try:
            request, streams = receive(connection)
            self._check_fit_to_fork()
        except (ConnectionError, RuntimeError) as error:
            _answer(connection, {"error": str(error)})
            connection.close()
            return None
        process_id = os.fork()
        if not process_id:
            self._leave(connection, streams)
            return request
        for stream in streams:
            os.close(stream)
        os.setpgid(process_id, process_id)  # here as well: a signal to the group may come before the child has run
        self.children[process_id] = _Child(process_id, connection)
        _answer(connection, {"process_id": process_id})
        return None

    def _check_fit_to_fork(self) -> None:
        threads = len(list(THREADS_OF_THIS_PROCESS.iterdir()))
        if threads != 1:
            raise RuntimeError(f"the server of jobs has {threads} threads, and a fork would copy one of them")
        if self.count_cuda_calls():
            raise RuntimeError("the server of jobs has asked CUDA for something, and a forked process could not use it")
        if foreign := sorted(user_code.loaded()):
            raise RuntimeError(f"the server of jobs has loaded code of the user's: {', '.join(foreign)}")

    def _tell_ends(self) -> None:
        for process_id in list(self.children):
            ended, status = os.waitpid(process_id, os.WNOHANG)
            if ended:
                connection = self.children.pop(process_id).connection
                _answer(connection, {"status": os.waitstatus_to_exitcode(status)})
                connection.close()

    def _leave(self, connection: socket.socket, streams: list[int]) -> None:
        """Let go, in a forked process, of all that is the server's, and take the streams."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
        for stream in streams:
            os.close(stream)
        for each in (connection, self.listener, *(child.connection for child in self.children.values())):
            each.close()
        os.close(self.wakeup)
        os.close(self._signalled)


def receive(connection: socket.socket) -> tuple[Request, list[int]]:
    """Read a request and the streams that come with it. Raises ConnectionError where it breaks off."""
    _, streams, _, _ = socket.recv_fds(connection, 1, NUM_STREAMS)
    length = int.from_bytes(_read(connection, LENGTH_BYTES))
    return Request.model_validate_json(_read(connection, length)), list(streams)


def _read(connection: socket.socket, length: int) -> bytes:
    content = bytearray()
    while len(content) < length:
        part = connection.recv(length - len(content))
        if not part:
            raise ConnectionError("the request breaks off")
        content += part
    return bytes(content)


def _answer(connection: socket.socket, content: dict[str, Any]) -> None:
    with suppress(OSError):  # who asked is gone, and with it the interest
        connection.sendall(json.dumps(content).encode() + b"\n")


def become(request: Request) -> None:
    """Run a module in this process as a fresh interpreter would, and leave by its status; what ends by an error ends as
    Python ends it."""
    import random

    shared = dict(sys.modules)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    sys.path[:] = request.path
    sys.argv[:] = [request.module, *request.arguments]
    random.seed()  # the server's state is every job's otherwise
    _compute_with(request.threads)
    code: str | int | None = None
    try:
        _run_as_main(request.module)
    except SystemExit as left:
        code = left.code
    _keep(shared)
    sys.exit(code)


def _keep(shared: Mapping[str, types.ModuleType]) -> None:
    """Let Python end this process without taking apart the modules that it shares with the server: nobody needs that,
    it takes longer than many a job's own work, and it copies what is shared. All else is Python's to do: to close what
    was left open, to let what the job's own modules hold finish itself, and to say what could not be written."""
    with suppress(KeyboardInterrupt):  # the work is done, and Python goes on ending as well
        threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()  # which may import
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(shared))  # never given back
    for name in shared.keys() - {"sys", "builtins", "__main__"}:
        if sys.modules.get(name) is shared[name]:
            del sys.modules[name]


def _compute_with(threads: int | None) -> None:
    """Set the number of torch's threads, unless it is that already: asked to, torch forbids MKL to take fewer threads
    for small products, and a step on the tiny towers takes an eighth longer."""
    import torch

    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)


def _run_as_main(module: str) -> None:
    remembered = user_code.sources().read.get(module)
    if remembered is None:
        path, content = _source_of(module)
    else:
        path, content = remembered.path, remembered.content
    main_module = sys.modules["__main__"] = types.ModuleType("__main__")
    main_module.__file__ = str(path)
    exec(compile(content, str(path), "exec"), vars(main_module))


def _source_of(module: str) -> tuple[Path, bytes]:
    """Return the file of a module that the server did not load, and what is in it."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    path = Path(spec.origin)
    return path, path.read_bytes()


if __name__ == "__main__":
    assert PACKAGE in sys.modules
    main(sys.argv[1:])
