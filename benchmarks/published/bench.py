"""What every comparison gets, and what it says of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from published.alternating import Comparison, Prepared, compare
from published.loading import PublishedCode, Variant, load_published
from published.workload import Workload


class DisagreementError(Exception):
    """Both sides compute different things, so their times must not be compared."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Work, place and patience of a run of the benchmark."""

    work: Workload
    checkout: Path
    device: torch.device
    num_pairs: int
    num_warm: int = 2

    def code(self, variant: Variant) -> PublishedCode:
        """Import a variant of the published code."""
        return load_published(self.checkout, variant)

    def compare(self, prepare: Callable[[int], Prepared], *, is_long: bool = False) -> Comparison:
        """Time pairs; of what takes long, three at most and none to warm up."""
        pairs, warm = (min(3, self.num_pairs), 0) if is_long else (self.num_pairs, self.num_warm)
        return compare(prepare, device=self.device, num_pairs=pairs, num_warm=warm)

    def autocast(self, dtype: torch.dtype) -> torch.autocast:
        """Return the autocast that a side trains under on CUDA; none elsewhere."""
        return torch.autocast(self.device.type, dtype, enabled=self.device.type == "cuda")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table."""

    run: Callable[[Bench], Comparison]
    timed: str
    """What the clock sees, and in what the sides differ."""


def agree(what: str, *, theirs: float, ours: float, tolerance: float) -> None:
    """Raise DisagreementError where two results differ by more than `tolerance`."""
    if not abs(theirs - ours) <= tolerance:
        raise DisagreementError(f"{what}: {theirs} by the published code, {ours} by ours")
