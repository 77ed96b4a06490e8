"""The paper's split (facts of IISAN, section 4): leave one out, twice.

A user's last item is the test target, the one before it the validation target, the rest trains. Only items that
occur in the kept interactions are candidates; they are renumbered here, and every index below is one of theirs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peftrec.data.interactions import Interactions
from peftrec.data.items import Items
from peftrec.data.source import Catalogue, DataSource
from peftrec.errors import DataError

_HELD_OUT = 2  # validation and test target
_EXTRA = 3  # the paper keeps sequence_length + 3 items: inputs, the last training target, and the two held out


@dataclass(frozen=True, kw_only=True)
class RankingCases:
    """What is ranked: for each user a history, the target that follows it, and nothing from after it."""

    histories: Interactions
    """Whole kept history before the target, oldest first; the user encoder reads its end, the mask all of it."""
    targets: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.targets)

    def is_target_in_history(self) -> npt.NDArray[np.bool_]:
        """Say per user whether the target stands in the history, so that a full history mask excludes it."""
        return np.fromiter(
            (target in history for target, history in zip(self.targets, self.histories, strict=True)),
            dtype=np.bool_,
            count=len(self),
        )


@dataclass(frozen=True, kw_only=True)
class Split:
    """One data set, ready for training and evaluation."""

    items: Items
    """The candidates."""
    windows: Interactions
    """Training windows of at most `sequence_length + 1` items; `users` names the user of each."""
    validation: RankingCases
    test: RankingCases
    train_counts: npt.NDArray[np.int64]
    """Occurrences of each candidate in the training parts."""
    counts: dict[str, int]
    sequence_length: int

    @property
    def num_interactions(self) -> int:
        return len(self.test.histories.items) + len(self.test)

    def log_popularity(self) -> npt.NDArray[np.float32]:
        """Log share of the training interactions. An item without any is never in a training batch; it gets zero,
        a finite value that is never read."""
        counts = self.train_counts
        logs = np.zeros(len(counts), dtype=np.float64)
        seen = counts > 0
        logs[seen] = np.log(counts[seen] / counts.sum())
        return logs.astype(np.float32)


def split_catalogue(catalogue: Catalogue, source: DataSource) -> Split:
    """Cut, renumber and split what a source read.

    Raises DataError where no user is long enough.
    """
    kept = catalogue.interactions
    if source.windows == "last":
        kept = _keep_last(kept, source.sequence_length + _EXTRA)
    if not len(kept):
        raise DataError("no user is left after the length rule; lower data.minimum_history or give longer histories")
    candidates, renumbered = np.unique(kept.items, return_inverse=True)
    kept = Interactions(users=kept.users, items=renumbered.astype(np.int32), offsets=kept.offsets)
    training = _drop_last(kept, _HELD_OUT)
    return Split(
        items=catalogue.items.select(candidates),
        windows=cut_windows(training, source.sequence_length + 1),
        validation=RankingCases(histories=training, targets=kept.items[kept.offsets[1:] - 2]),
        test=RankingCases(histories=_drop_last(kept, 1), targets=kept.items[kept.offsets[1:] - 1]),
        train_counts=np.bincount(training.items, minlength=len(candidates)),
        counts=catalogue.counts,
        sequence_length=source.sequence_length,
    )


def cut_windows(histories: Interactions, length: int) -> Interactions:
    """Cut histories from their end into windows of at most `length` items that overlap by one item.

    Every item but a history's first is a target exactly once.
    """
    users: list[str] = []
    windows: list[npt.NDArray[np.int32]] = []
    for user, history in zip(histories.users, histories, strict=True):
        end = len(history)
        while end > 1:
            start = max(0, end - length)
            users.append(user)
            windows.append(history[start:end])
            end = start + 1
    return Interactions.from_lists(users, windows)


def _keep_last(interactions: Interactions, length: int) -> Interactions:
    starts = np.maximum(interactions.offsets[:-1], interactions.offsets[1:] - length)
    return _slices(interactions, starts, interactions.offsets[1:])


def _drop_last(interactions: Interactions, number: int) -> Interactions:
    return _slices(interactions, interactions.offsets[:-1], interactions.offsets[1:] - number)


def _slices(interactions: Interactions, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Interactions:
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(ends - starts)])
    positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)
    return Interactions(users=interactions.users, items=interactions.items[positions], offsets=offsets)
