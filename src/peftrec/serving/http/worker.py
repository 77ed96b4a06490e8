"""One thread that computes: requests wait in a queue of bounded length, and those that can be computed together are.

The thread of the event loop never computes, and the models are touched by one thread alone, so nothing of them needs a
lock.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from peftrec.errors import UserError
from peftrec.serving.http.request import WORKER

Compute = Callable[[Sequence[Any]], Sequence[Any]]
"""From requests to an outcome each: an answer, or the UserError that refuses the request."""


class BusyError(UserError):
    """The queue is full."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request that waits."""

    compute: Compute
    """Requests of one function are computed together."""
    request: Any
    future: "Future[Any]" = field(default_factory=Future)


class Worker:
    """The thread, from `start` to `stop`."""

    def __init__(
        self,
        *,
        max_batch: int,
        max_queue: int,
        wait_seconds: float,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Compute at most `max_batch` requests together. After the first one has come, others are waited for during
        `wait_seconds`; what came while others were computed waits for nobody. `observe` is told each batch's size."""
        self.max_batch = max_batch
        self.wait_seconds = wait_seconds
        self.observe = observe
        self._queue: queue.Queue[Job | None] = queue.Queue(max_queue)
        self._thread = threading.Thread(target=self._run, name=WORKER, daemon=True)

    def start(self) -> None:
        """Begin to compute."""
        self._thread.start()

    def stop(self, seconds: float | None = None) -> None:
        """Compute what waits, then end; wait for that no longer than `seconds`, if they are given."""
        with suppress(queue.Full):
            self._queue.put(None, timeout=seconds)
        self._thread.join(seconds)

    @property
    def num_waiting(self) -> int:
        """How many requests are in the queue."""
        return self._queue.qsize()

    def submit(self, compute: Compute, request: Any) -> "Future[Any]":
        """Put a request into the queue, and return what will hold its answer, or what it raises.

        Raises BusyError, at once, where the queue is full.
        """
        job = Job(compute=compute, request=request)
        try:
            self._queue.put_nowait(job)
        except queue.Full as error:
            raise BusyError(f"{self._queue.maxsize:,} requests are waiting already; ask again in a second") from error
        return job.future

    def _run(self) -> None:
        is_last = False
        while not is_last:
            batch, is_last = self._take()
            for compute, jobs in _together(batch):
                self.observe(len(jobs))
                _settle(compute, jobs)

    def _take(self) -> tuple[list[Job], bool]:
        """Return the next requests, and whether they are the last."""
        batch: list[Job] = []
        deadline = None
        while len(batch) < self.max_batch:
            try:
                if deadline is None:
                    job = self._queue.get()
                else:
                    left = deadline - time.monotonic()
                    job = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
            deadline = deadline or time.monotonic() + self.wait_seconds
        return batch, False


def _together(batch: Sequence[Job]) -> list[tuple[Compute, list[Job]]]:
    """Sort by what computes them, in the order in which each came first; without those that nobody waits for."""
    groups: dict[Compute, list[Job]] = {}
    for job in batch:
        if job.future.set_running_or_notify_cancel():
            groups.setdefault(job.compute, []).append(job)
    return list(groups.items())


def _settle(compute: Compute, jobs: Sequence[Job]) -> None:
    try:
        outcomes = compute([job.request for job in jobs])
    except Exception as error:  # whatever it is, who waits must hear of it, and the thread must go on
        outcomes = [error] * len(jobs)
    for job, outcome in zip(jobs, outcomes, strict=True):
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)
