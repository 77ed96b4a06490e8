"""The largest batch that fits: memory grows almost evenly with the batch, so a few observed sizes find it."""

from collections.abc import Callable
from dataclasses import dataclass

SMALLEST = 2
"""`batch_size` takes no less."""


@dataclass(frozen=True, kw_only=True)
class LargestBatch:
    """The answer for one amount of memory."""

    memory_bytes: int
    batch_size: int | None
    """Null where not even the smallest fits."""
    peak_bytes: int
    """Of that batch; of the smallest where none fits."""
    is_whole_epoch: bool
    """Whether every window fits into one batch, so that no larger one exists."""


def find_largest_batch(peak_of: Callable[[int], int], *, memory: int, num_windows: int) -> LargestBatch:
    """Return the batch size that fits while one more user does not; `peak_of` must not fall as batches grow."""

    def answer(batch_size: int | None, peak: int) -> LargestBatch:
        return LargestBatch(
            memory_bytes=memory, batch_size=batch_size, peak_bytes=peak, is_whole_epoch=batch_size == largest
        )

    largest = max(SMALLEST, num_windows)
    low, high = SMALLEST, largest
    peak = peak_of(low)
    if peak > memory:
        return answer(None, peak)
    if high == low or (most := peak_of(high)) <= memory:
        return answer(high, peak if high == low else most)
    # The Illinois variant of false position: an end that stays is believed half as much each time.
    below, above = float(memory - peak), float(most - memory)
    stayed = 0
    while high - low > 1:
        middle = min(max(low + round((high - low) * below / (below + above)), low + 1), high - 1)
        found = peak_of(middle)
        if found <= memory:
            low, peak, below = middle, found, float(memory - found)
            above, stayed = (above / 2 if stayed > 0 else above), 1
        else:
            high, above = middle, float(found - memory)
            below, stayed = (below / 2 if stayed < 0 else below), -1
    return answer(low, peak)
