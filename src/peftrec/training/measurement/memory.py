"""Peak memory of a stretch of time: what the device's allocator held, and on Linux what the kernel gave."""

from dataclasses import dataclass
from pathlib import Path

import torch

from peftrec.results.costs import MemorySource

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): writing 5 resets VmHWM to the current resident size


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """Bytes; null where the platform cannot tell."""

    cuda_allocated: int | None = None
    cuda_reserved: int | None = None
    resident: int | None = None
    cpu_allocated: int | None = None
    """See peftrec.training.measurement.allocations."""

    @property
    def allocated(self) -> int | None:
        """What the allocator of the device that trains held."""
        return self.cpu_allocated if self.cuda_allocated is None else self.cuda_allocated

    @property
    def source(self) -> MemorySource | None:
        """Whose log says so."""
        if self.cuda_allocated is not None:
            return "cuda_allocator"
        return None if self.cpu_allocated is None else "cpu_allocator"

    def maximum(self, other: "PeakMemory") -> "PeakMemory":
        """Return the larger of each."""
        return PeakMemory(
            cuda_allocated=_larger(self.cuda_allocated, other.cuda_allocated),
            cuda_reserved=_larger(self.cuda_reserved, other.cuda_reserved),
            resident=_larger(self.resident, other.resident),
            cpu_allocated=_larger(self.cpu_allocated, other.cpu_allocated),
        )


def _larger(first: int | None, second: int | None) -> int | None:
    return max((value for value in (first, second) if value is not None), default=None)


def release_cached(device: torch.device) -> None:
    """Give back what the allocator keeps of freed memory, so that what is reserved afterwards is in use."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def reset_peak(device: torch.device) -> None:
    """Forget earlier peaks."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        _CLEAR.write_text(_RESET_PEAK, encoding="utf-8")


def read_peak(device: torch.device) -> PeakMemory:
    """Return the peaks since the last reset."""
    if device.type == "cuda":
        return PeakMemory(
            cuda_allocated=torch.cuda.max_memory_allocated(device),
            cuda_reserved=torch.cuda.max_memory_reserved(device),
        )
    return PeakMemory(resident=_status_bytes("VmHWM"))


def resident_bytes() -> int | None:
    """Return the process's resident size now; null where /proc is missing."""
    return _status_bytes("VmRSS")


def _status_bytes(key: str) -> int | None:
    if not _STATUS.exists():
        return None
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return None
