"""How often a server is asked: few requests at once, a pause between them, and none where it wants to be left alone."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from peftrec.data.images.download import FetchError

LONGEST_WAIT = 120.0
"""Seconds that a server may ask to be left alone; where it wants more, its pictures are for a later run."""
SILENT = 10
"""Requests in a row without any answer after which a server is asked no more in this run: a dead one would else cost
its silence times its pictures."""


@dataclass(frozen=True, kw_only=True)
class Politeness:
    """What one server is asked for."""

    per_host: int = 4
    """Requests at once."""
    pause: float = 0.1
    """Seconds between the starts of two requests."""


@dataclass
class _Host:
    turns: threading.Semaphore
    lock: threading.Lock = field(default_factory=threading.Lock)
    free_from: float = 0.0
    silences: int = 0


class Hosts:
    """All servers of a run, by name."""

    def __init__(self, politeness: Politeness, stop: threading.Event) -> None:
        self.politeness = politeness
        self.stop = stop
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, address: str) -> Iterator[None]:
        """Wait until the server of an address may be asked, and learn from what comes of it.

        Raises FetchError, which counts as no try, where it is asked no more.
        """
        host = self._host(address)
        with host.turns:
            self._wait(host)
            try:
                yield
            except FetchError as error:
                self._learn(host, error)
                raise
            else:
                host.silences = 0

    def _host(self, address: str) -> _Host:
        name = urlsplit(address).netloc.lower()
        with self._lock:
            return self._hosts.setdefault(name, _Host(turns=threading.Semaphore(self.politeness.per_host)))

    def _wait(self, host: _Host) -> None:
        while True:
            with host.lock:
                if host.silences >= SILENT:
                    raise NotAskedError(f"its server gave no answer {SILENT} times in a row, and was asked no more")
                wait = host.free_from - time.monotonic()
                if wait > LONGEST_WAIT:
                    raise NotAskedError(f"its server asked to be left alone for {wait:.0f} seconds")
                if wait <= 0:
                    host.free_from = time.monotonic() + self.politeness.pause
                    return
            if self.stop.wait(wait):
                raise NotAskedError("stopped")

    def _learn(self, host: _Host, error: FetchError) -> None:
        with host.lock:
            host.silences = host.silences + 1 if error.is_silence else 0
            host.free_from = max(host.free_from, time.monotonic() + error.wait)


class NotAskedError(FetchError):
    """A server was not asked."""
