"""Seconds of a call, again and again in bounded time."""

import statistics
import time
from collections.abc import Callable

import torch

BUDGET_SECONDS = 1.0
"""Of each of the measurements; the first call of each is not counted."""
_FOR_A_TAIL = 200
"""Calls of which the slowest hundredth is told."""
_FOR_A_MEDIAN = 40
_FEWEST_CALLS = 5


def median_seconds(call: Callable[[int], object], device: torch.device) -> float:
    """Return the median seconds of a repeated call; a median needs fewer calls than a tail does."""
    return statistics.median(timed(call, device, _FOR_A_MEDIAN))


def timed(call: Callable[[int], object], device: torch.device, most_calls: int = _FOR_A_TAIL) -> list[float]:
    """Return the seconds of repeated calls, each synchronised, after one that is not counted."""
    call(0)
    synchronise(device)
    seconds: list[float] = []
    began = time.perf_counter()
    while len(seconds) < most_calls:
        started = time.perf_counter()
        call(len(seconds) + 1)
        synchronise(device)
        seconds.append(time.perf_counter() - started)
        if len(seconds) >= _FEWEST_CALLS and time.perf_counter() - began > BUDGET_SECONDS:
            break
    return seconds


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
