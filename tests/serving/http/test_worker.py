"""One thread computes: together what comes together, in a queue that ends."""

import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from peftrec.errors import DataError
from peftrec.serving.http.worker import BusyError, Worker


@dataclass
class Gate:
    """A computation that begins, tells so, and waits until it may end."""

    entered: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)

    def __call__(self, requests: Sequence[int]) -> list[int]:
        self.entered.set()
        assert self.may_end.wait(timeout=60)
        return list(requests)

    def __hash__(self) -> int:
        return id(self)


@dataclass(eq=False)
class Doubled:
    """Doubles odd numbers, refuses even ones, and remembers what it got together, and where."""

    batches: list[list[int]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def __call__(self, requests: Sequence[int]) -> list[int | DataError]:
        self.batches.append(list(requests))
        self.threads.add(threading.get_ident())
        return [2 * number if number % 2 else DataError(f"{number} is even") for number in requests]


@pytest.fixture
def sizes() -> list[int]:
    return []


@pytest.fixture
def worker(sizes: list[int]) -> Iterator[Worker]:
    worker = Worker(max_batch=4, max_queue=6, wait_seconds=0.0, observe=sizes.append)
    worker.start()
    yield worker
    worker.stop()


def held(worker: Worker) -> Gate:
    """Keep the worker busy."""
    gate = Gate()
    worker.submit(gate, 0)
    assert gate.entered.wait(timeout=60)
    return gate


def test_what_waits_is_computed_together_and_in_one_thread(worker: Worker, sizes: list[int]) -> None:
    gate, doubled = held(worker), Doubled()
    futures = [worker.submit(doubled, number) for number in (1, 3, 5, 7, 9, 11)]
    assert worker.num_waiting == 6
    gate.may_end.set()
    assert [future.result(timeout=60) for future in futures] == [2, 6, 10, 14, 18, 22]
    assert doubled.batches == [[1, 3, 5, 7], [9, 11]]
    assert sizes == [1, 4, 2]
    assert len(doubled.threads) == 1
    assert threading.get_ident() not in doubled.threads


def test_requests_of_two_kinds_are_computed_apart(worker: Worker) -> None:
    gate, one, two = held(worker), Doubled(), Doubled()
    futures = [worker.submit(compute, number) for compute, number in ((one, 1), (two, 3), (one, 5))]
    gate.may_end.set()
    assert [future.result(timeout=60) for future in futures] == [2, 6, 10]
    assert (one.batches, two.batches) == ([[1, 5]], [[3]])


def test_the_first_waits_for_others_no_longer_than_it_may() -> None:
    patient = Worker(max_batch=2, max_queue=4, wait_seconds=60.0)
    patient.start()
    doubled = Doubled()
    with ThreadPoolExecutor(2) as pool:  # full at two, long before the minute is over
        answers = list(pool.map(lambda number: patient.submit(doubled, number).result(timeout=30), (1, 3)))
    patient.stop()
    assert answers == [2, 6]
    assert sorted(doubled.batches[0]) == [1, 3]


def test_a_full_queue_refuses_at_once(worker: Worker) -> None:
    gate, doubled = held(worker), Doubled()
    futures = [worker.submit(doubled, 1) for _ in range(6)]
    with pytest.raises(BusyError, match="6 requests are waiting"):
        worker.submit(doubled, 1)
    gate.may_end.set()
    assert [future.result(timeout=60) for future in futures] == [2] * 6


def test_one_refusal_is_not_the_others(worker: Worker) -> None:
    gate, doubled = held(worker), Doubled()
    refused, answered = worker.submit(doubled, 2), worker.submit(doubled, 3)
    gate.may_end.set()
    assert answered.result(timeout=60) == 6
    with pytest.raises(DataError, match="2 is even"):
        refused.result(timeout=60)


def test_the_thread_outlives_what_fails(worker: Worker) -> None:
    def fail(requests: Sequence[int]) -> list[int]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        worker.submit(fail, 1).result(timeout=60)
    assert worker.submit(Doubled(), 1).result(timeout=60) == 2


def test_what_nobody_waits_for_is_not_computed(worker: Worker) -> None:
    gate, doubled = held(worker), Doubled()
    left, kept = worker.submit(doubled, 1), worker.submit(doubled, 3)
    assert left.cancel()
    gate.may_end.set()
    assert kept.result(timeout=60) == 6
    assert doubled.batches == [[3]]
    with pytest.raises(CancelledError):
        left.result()


def counted(calls: list[str], *names: str, gate: Gate | None = None) -> Generator[None, None, int]:
    """A part for each name; the first one waits at the gate."""
    for name in names:
        if gate is not None and name == names[0]:
            gate([])
        calls.append(name)
        if name != names[-1]:
            yield
    return len(names)


def test_what_is_computed_in_parts_lets_others_come_in_between(worker: Worker, sizes: list[int]) -> None:
    calls, gate = list[str](), Gate()

    def note(requests: Sequence[str]) -> list[str]:
        calls.extend(requests)
        return list(requests)

    first = worker.submit_parts(counted(calls, "a1", "a2", "a3", gate=gate))
    assert gate.entered.wait(timeout=60)
    second = worker.submit_parts(counted(calls, "b1", "b2"))
    between = [worker.submit(note, name) for name in ("x", "y")]
    assert worker.num_waiting == 4
    gate.may_end.set()
    assert (first.result(timeout=60), second.result(timeout=60)) == (3, 2)
    assert [future.result(timeout=60) for future in between] == ["x", "y"]
    assert calls == ["a1", "x", "y", "a2", "a3", "b1", "b2"]
    assert sizes == [2, 1, 1]


def test_parts_that_fail_or_are_given_up_are_not_gone_on_with(worker: Worker) -> None:
    calls, gate = list[str](), Gate()
    given_up = worker.submit_parts(counted(calls, "a1", "a2", gate=gate))
    assert gate.entered.wait(timeout=60)
    refused = worker.submit_parts(failing_parts(calls))
    never = worker.submit_parts(counted(calls, "c1"))
    assert given_up.cancel()
    assert never.cancel()
    gate.may_end.set()
    with pytest.raises(DataError, match="at the second"):
        refused.result(timeout=60)
    assert worker.submit_parts(counted(calls, "d1")).result(timeout=60) == 1
    assert calls == ["a1", "b1", "d1"]


def failing_parts(calls: list[str]) -> Generator[None, None, int]:
    calls.append("b1")
    yield
    raise DataError("at the second")


def test_both_kinds_fill_one_queue(worker: Worker) -> None:
    gate, doubled = held(worker), Doubled()
    futures = [worker.submit(doubled, 1) for _ in range(3)]
    parts = [worker.submit_parts(counted([], "a")) for _ in range(3)]
    for submit in (lambda: worker.submit(doubled, 1), lambda: worker.submit_parts(counted([], "a"))):
        with pytest.raises(BusyError, match="6 requests are waiting"):
            submit()
    gate.may_end.set()
    assert [future.result(timeout=60) for future in (*futures, *parts)] == [2, 2, 2, 1, 1, 1]


def test_stopping_computes_what_waits() -> None:
    worker = Worker(max_batch=2, max_queue=6, wait_seconds=0.0)
    worker.start()
    gate, doubled = held(worker), Doubled()
    futures = [worker.submit(doubled, number) for number in (1, 3, 5)]
    futures.append(worker.submit_parts(counted([], "a", "b")))
    gate.may_end.set()
    worker.stop()
    assert [future.result(timeout=0) for future in futures] == [2, 6, 10, 2]
