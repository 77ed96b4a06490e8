"""Two functions timed in turns on the same inputs, so that what the machine does besides hits both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Seconds of both sides, pair by pair."""

    theirs: list[float]
    ours: list[float]

    @property
    def ratio(self) -> float:
        """Median over pairs of theirs / ours."""
        return statistics.median(self._ratios())

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest ratio of a pair."""
        return min(self._ratios()), max(self._ratios())

    def _ratios(self) -> list[float]:
        return [theirs / ours for theirs, ours in zip(self.theirs, self.ours, strict=True)]


Prepared = tuple[Callable[[], object], Callable[[], object]]
"""One pair's work: the published code's and ours, inputs at hand."""


def compare(prepare: Callable[[int], Prepared], *, device: torch.device, num_pairs: int, num_warm: int) -> Comparison:
    """Time `num_pairs` pairs; `prepare` builds the inputs of a pair untimed. The side that starts alternates."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for pair in range(num_warm + num_pairs):
        sides = prepare(pair)
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            taken = seconds_of(sides[side], device)
            if pair >= num_warm:
                seconds[side].append(taken)
    return Comparison(theirs=seconds[0], ours=seconds[1])


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Time one call, to the end of what it put on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
