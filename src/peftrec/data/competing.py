"""The items that an objective has put beside those of a batch, for its positions to be scored against."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from peftrec.data.choices import Competitors

_NONE: npt.NDArray[np.int32] = np.zeros(0, dtype=np.int32)
_STREAM = 3  # apart from the order of users, which is drawn from (seed, epoch)


@dataclass(frozen=True, kw_only=True)
class Competition:
    """What is put beside a batch; nothing by default. What is drawn is a function of the seed and the batch's users, so
    that a resumed run, and every process, draws the same."""

    competitors: Competitors = field(default_factory=Competitors)
    train_counts: npt.NDArray[np.int64] | None = None
    """Training interactions of each item; needed where anything is put beside."""
    seed: int = 0

    @property
    def draws(self) -> bool:
        """Whether anything is drawn."""
        return self.competitors.kind == "sampled"

    @property
    def is_batch_apart(self) -> bool:
        """Whether positions compete with what is drawn alone."""
        return self.draws and not self.competitors.with_batch

    def beside(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """Return the items beside the batch of these windows."""
        if self.competitors.kind == "batch":
            return _NONE
        assert self.train_counts is not None
        num_items = len(self.train_counts)
        if self.competitors.kind == "catalogue":
            return np.arange(num_items, dtype=np.int32)
        draws = np.random.default_rng([_STREAM, self.seed, *rows.tolist()])
        counts = self.train_counts
        weights = counts / counts.sum() if self.competitors.by_popularity else None
        drawable = int((counts > 0).sum()) if self.competitors.by_popularity else num_items
        number = min(self.competitors.number, drawable)
        return draws.choice(num_items, size=number, replace=False, p=weights).astype(np.int32)

    def describe(self) -> str:
        """Say what a position competes with, for the record."""
        if self.competitors.kind == "batch":
            return "items of the batch"
        if self.competitors.kind == "catalogue":
            return "all items"
        how = "by popularity" if self.competitors.by_popularity else "evenly"
        drawn = f"{self.competitors.number:,} drawn {how}"
        return f"items of the batch and {drawn}" if self.competitors.with_batch else f"{drawn} for the batch"
