"""What torch's allocator of the CPU hands out and takes back, from its own log: CUDA keeps a peak, a CPU does not.

torch writes the log for its profiler. The present profiler starts a tracer that takes seconds and speaks to the
terminal; the one before it (`profiler_legacy`) is still what collects the same events of one thread, in their order,
and costs about a microsecond an operation. It only looks: not a bit of a result changes.
"""

import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch._C._autograd import _disable_profiler_legacy, _enable_profiler_legacy
from torch._C._profiler import ProfilerConfig, ProfilerState, _ExperimentalConfig

from peftrec.data.batches import TensorBatch
from peftrec.training.parameter_groups import tensor_bytes

_ALLOCATION = "memory_alloc"
_LEVEL, _ERROR = "FLAGS_caffe2_log_level", 2


class AllocationLog:
    """Follows the bytes that this thread has got from the allocator since `start`, and not given back.

    What was there before is unknown to it, and so is its end: start while nothing lives that a step will drop.
    """

    def __init__(self) -> None:
        self.live = 0
        self.is_running = False
        self._level = _log_level()
        self._former_level = 0

    def start(self) -> None:
        """Begin to look."""
        if self._level is not None:  # torch warns of each block that ends in the log and did not begin in it
            self._former_level, self._level.value = self._level.value, max(self._level.value, _ERROR)
        _enable_profiler_legacy(
            ProfilerConfig(ProfilerState.CPU, False, True, False, False, False, _ExperimentalConfig())
        )
        self.is_running = True

    def stop(self) -> int:
        """Look no more; return the most bytes that lived at a moment since the last `start` or `drain`."""
        if not self.is_running:
            return self.live
        self.is_running = False
        if self._level is not None:
            self._level.value = self._former_level
        peak = self.live
        for size in _sizes(_disable_profiler_legacy()):
            self.live += size
            peak = max(peak, self.live)
        return peak

    def drain(self) -> int:
        """Return what `stop` does, and go on."""
        peak = self.stop()
        self.start()
        return peak


def _sizes(events: list[list[Any]]) -> Iterator[int]:
    """Yield what was handed out, and as negative numbers what was taken back, in order. Threads that a backward pass
    gets for other devices have lists of their own; on a CPU it stays in its thread."""
    for of_thread in events:
        for event in of_thread:
            if event.kind() == _ALLOCATION:
                yield event.cpu_memory_usage()


class StepMemory:
    """The most that the CPU's allocator held in any training step, with what stood there before the first of them.

    It looks at every step from `begin` to `end`, without a gap, so that all that a step drops has been seen to begin.
    What is loaded between two steps is the loader's; the batch itself counts, wherever it was made.
    """

    def __init__(self) -> None:
        self.log = AllocationLog()
        self.standing = 0
        self.batch = 0
        self.peak = 0

    def begin(self, standing: int) -> None:
        """Start on an epoch; `standing` is the bytes of weights, buffers, optimizer state, and a store in memory.

        What an earlier run of this process left in circles of references goes first. The allocator remembers blocks
        that an earlier log saw begin, and says so when they end: collected in a step, they would make it look smaller.
        """
        gc.collect()
        self.standing = standing
        self.log.start()

    def before_step(self, batch: TensorBatch) -> None:
        """Note the batch of the step that begins."""
        self.log.drain()
        self.batch = tensor_bytes(batch.tensors())

    def after_step(self) -> None:
        """Note what the step took."""
        self.peak = max(self.peak, self.standing + self.batch + self.log.drain())

    def end(self) -> int | None:
        """Return the peak; null where no step was seen."""
        self.log.stop()
        return self.peak or None


def _log_level() -> ctypes.c_int | None:
    """Return the variable by which torch's C++ decides what to log."""
    library = next((Path(torch.__file__).parent / "lib").glob("libc10.*"), None)
    try:
        return None if library is None else ctypes.c_int.in_dll(ctypes.CDLL(str(library)), _LEVEL)
    except (OSError, ValueError):  # another build of torch, which then warns
        return None
