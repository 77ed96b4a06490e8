"""One thread that computes: requests wait in a queue of bounded length, and those that can be computed together are.

The thread of the event loop never computes, and the models are touched by one thread alone, so nothing of them needs a
lock. What takes long is computed in parts, and between two of them whatever else waits is.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from peftrec.errors import UserError
from peftrec.serving.http.request import WORKER

Compute = Callable[[Sequence[Any]], Sequence[Any]]
"""From requests to an outcome each: an answer, or the UserError that refuses the request."""
Parts = Generator[None, None, Any]
"""Computes an answer, or raises the UserError that refuses the request; it yields where others may come in between."""


class BusyError(UserError):
    """The queue is full."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request that waits."""

    compute: Compute
    """Requests of one function are computed together."""
    request: Any
    future: "Future[Any]" = field(default_factory=Future)


@dataclass(frozen=True, kw_only=True)
class LongJob:
    """A request that is computed in parts."""

    parts: Parts
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
        """Compute at most `max_batch` requests together; where there are fewer, others are waited for during
        `wait_seconds`. At most `max_queue` wait. `observe` is told each batch's size."""
        self.max_batch = max_batch
        self.max_queue = max_queue
        self.wait_seconds = wait_seconds
        self.observe = observe
        self._jobs: deque[Job] = deque()
        self._long_jobs: deque[LongJob] = deque()
        """The first is the one that is under way."""
        self._is_stopping = False
        self._change = threading.Condition()
        """Held by whoever reads or changes the three."""
        self._thread = threading.Thread(target=self._run, name=WORKER, daemon=True)

    def start(self) -> None:
        """Begin to compute."""
        self._thread.start()

    def stop(self, seconds: float | None = None) -> None:
        """Compute what waits, then end; wait for that no longer than `seconds`, if they are given."""
        with self._change:
            self._is_stopping = True
            self._change.notify()
        self._thread.join(seconds)

    @property
    def num_waiting(self) -> int:
        """How many requests are in the queue."""
        with self._change:
            return len(self._jobs) + len(self._long_jobs)

    def submit(self, compute: Compute, request: Any) -> "Future[Any]":
        """Put a request into the queue, and return what will hold its answer, or what it raises.

        Raises BusyError, at once, where the queue is full.
        """
        job = Job(compute=compute, request=request)
        self._put(job, self._jobs)
        return job.future

    def submit_parts(self, parts: Parts) -> "Future[Any]":
        """Put a request into the queue that takes long, as `submit` does."""
        job = LongJob(parts=parts)
        self._put(job, self._long_jobs)
        return job.future

    def _put(self, job: Any, jobs: "deque[Any]") -> None:
        with self._change:
            if len(self._jobs) + len(self._long_jobs) >= self.max_queue:
                raise BusyError(f"{self.max_queue:,} requests are waiting already; ask again in a second")
            jobs.append(job)
            self._change.notify()

    def _run(self) -> None:
        while True:
            batch, long_job = self._take()
            if not batch and long_job is None:
                return
            for compute, jobs in _together(batch):
                self.observe(len(jobs))
                _settle(compute, jobs)
            if long_job is not None and _advance(long_job):
                with self._change:
                    self._long_jobs.popleft()
                self.observe(1)

    def _take(self) -> tuple[list[Job], LongJob | None]:
        """Return the next requests, and the long one of which a part is next; nothing where the thread is to end."""
        with self._change:
            self._change.wait_for(lambda: self._jobs or self._long_jobs or self._is_stopping)
            if self._jobs and self.wait_seconds and not self._long_jobs:
                self._change.wait_for(self._is_full, self.wait_seconds)
            batch = [self._jobs.popleft() for _ in range(min(self.max_batch, len(self._jobs)))]
            return batch, self._long_jobs[0] if self._long_jobs else None

    def _is_full(self) -> bool:
        return len(self._jobs) >= self.max_batch or self._is_stopping


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


def _advance(job: LongJob) -> bool:
    """Compute the next part, unless nobody waits any more, and say whether there are no others."""
    if job.future.cancelled():
        job.parts.close()
        return True
    try:
        next(job.parts)
    except StopIteration as end:
        answer = end.value
    except Exception as error:  # as above
        if job.future.set_running_or_notify_cancel():
            job.future.set_exception(error)
        return True
    else:
        return False
    if job.future.set_running_or_notify_cancel():  # only now: until its last part it can be given up
        job.future.set_result(answer)
    return True
