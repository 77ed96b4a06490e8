"""Processes that are started together: their output told apart, an interruption passed on once, none left behind."""

import signal
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from peftrec.jobs.starting import ForkServer, Program, Running, start

SECONDS_TO_RECORD_AN_INTERRUPTION = 20.0
SECONDS_TO_DRAIN_OUTPUT = 5.0
_LOOK_SECONDS = 0.05


class StoppingError(Exception):
    """Nothing is started any more."""


class Supervisor:
    """Leaving its block ends whatever still runs: after an interruption with time to record it, otherwise at once."""

    def __init__(self) -> None:
        self.server = ForkServer()
        self.running: list[Running] = []
        self._lock = threading.Lock()
        self._is_stopping = False
        self._streams: dict[int, threading.Thread] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_stopping = True
        try:
            if error is not None:
                self._interrupt()
        finally:
            for running in self._alive():
                running.signal(signal.SIGKILL)
            for running in list(self.running):
                self.finish(running)
            self.server.stop()

    def start(self, program: Program, *, prefix: str | None = None) -> Running:
        """Start a process; with a prefix, each line of its output is printed here behind it, else it writes for itself.

        Raises StoppingError when an interruption has come.
        """
        with self._lock:
            if self._is_stopping:
                raise StoppingError
            running = start(program, self.server, reads_output=prefix is not None)
            self.running.append(running)
        if prefix is not None:
            stream = threading.Thread(target=_print_lines, args=(running, prefix), daemon=True)
            stream.start()
            self._streams[running.process.pid] = stream
        return running

    def finish(self, running: Running) -> int:
        """Wait for a process, end what it left behind, and return its status."""
        status = running.process.wait()
        running.signal(signal.SIGKILL)  # loader processes that outlived it
        stream = self._streams.pop(running.process.pid, None)
        if stream is not None:
            stream.join(SECONDS_TO_DRAIN_OUTPUT)
        running.close(is_drained=stream is None or not stream.is_alive())
        with self._lock:
            if running in self.running:
                self.running.remove(running)
        return status

    def wait_for_all(self, running: Sequence[Running], *, seconds_to_follow: float) -> set[int]:
        """Wait for all; once one has failed, the others have a while to follow. Return the places of those that had to
        be killed."""
        deadline: float | None = None
        while None in (statuses := [each.process.poll() for each in running]):
            if deadline is None and any(statuses):
                deadline = time.monotonic() + seconds_to_follow
            if deadline is not None and time.monotonic() > deadline:
                late = {place for place, status in enumerate(statuses) if status is None}
                for place in late:
                    running[place].signal(signal.SIGKILL)
                return late
            time.sleep(_LOOK_SECONDS)
        return set()

    def _alive(self) -> list[Running]:
        return [each for each in self.running if each.process.poll() is None]

    def _interrupt(self) -> None:
        for running in self._alive():
            running.signal(signal.SIGINT)
        deadline = time.monotonic() + SECONDS_TO_RECORD_AN_INTERRUPTION
        while self._alive() and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)


def _print_lines(running: Running, prefix: str) -> None:
    assert running.output is not None
    for line in running.output:
        print(f"{prefix} {line}", end="" if line.endswith("\n") else "\n", flush=True)
