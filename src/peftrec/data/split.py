"""From what a source read to what is trained on and ranked.

Leave-one-out is the paper's (IISAN, section 4.1; `read_behaviors` of its code): a user's last item is the test target,
the one before it the validation target, the rest trains. The other rule is in `global_time`. Only items that occur in
the kept interactions are candidates; they are renumbered here, and every index below is one of theirs.
"""

from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
import numpy.typing as npt

from peftrec.data.catalogue import Catalogue
from peftrec.data.global_time import (
    first_places_from,
    refuse_empty_period,
    refuse_empty_training,
    starts_of_periods,
    times_of,
)
from peftrec.data.interactions import Interactions
from peftrec.data.items import Items
from peftrec.data.source import DataSource, Moment
from peftrec.errors import DataError

HELD_OUT = 2  # validation and test target
EXTRA = 3  # the paper keeps sequence_length + 3 items: inputs, the last training target, and the two held out


@dataclass(frozen=True, kw_only=True)
class RankingCases:
    """What is ranked: for each user a history, the target that follows it, and nothing from after it.

    Validation and test have the same users under leave-one-out, and users of their own under a time split.
    """

    histories: Interactions
    """Whole kept history before the target, oldest first; the user encoder reads its end, the mask all of it."""
    targets: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.targets)

    def is_target_in_history(self) -> npt.NDArray[np.bool_]:
        """Say per user whether the target stands in the history, so that a full history mask excludes it."""
        is_target = self.histories.items == np.repeat(self.targets, self.histories.lengths)
        found = np.zeros(len(self), dtype=np.bool_)
        found[self.histories.owners()[is_target]] = True
        return found


@dataclass(frozen=True, kw_only=True)
class Periods:
    """When the periods of a time split start, in the unit of the timestamps."""

    validation_from: Moment
    test_from: Moment


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
    num_interactions: int
    """Interactions kept, whether they train, are ranked, or come after a user's test target."""
    periods: Periods | None = None
    """None under leave-one-out, where each user has an end of their own."""

    def log_popularity(self) -> npt.NDArray[np.float32]:
        """Log share of the training interactions. An item without any is never in a training batch; it gets zero,
        a finite value that is never read."""
        counts = self.train_counts
        logs = np.zeros(len(counts), dtype=np.float64)
        seen = counts > 0
        logs[seen] = np.log(counts[seen] / counts.sum())
        return logs.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What a rule makes of the interactions, in the numbers of the catalogue."""

    kept: Interactions
    training: Interactions
    validation: RankingCases
    test: RankingCases
    counts: dict[str, int]
    periods: Periods | None = None


def split_catalogue(catalogue: Catalogue, source: DataSource) -> Split:
    """Cut, renumber and split what a source read.

    Raises DataError where nobody is left to train on or to rank, or timestamps are needed and missing.
    """
    parts = _parts(catalogue, source)
    candidates = parts.kept.occurring()
    numbers = _numbers(candidates, len(catalogue.items))
    training = _renumbered(parts.training, numbers)
    train_counts = np.bincount(training.items, minlength=len(candidates))
    return Split(
        items=catalogue.items.select(candidates),
        windows=cut_windows(training, source.sequence_length + 1),
        validation=_renumbered_cases(parts.validation, numbers),
        test=_renumbered_cases(parts.test, numbers),
        train_counts=train_counts,
        counts={**catalogue.counts, **parts.counts},
        sequence_length=source.sequence_length,
        num_interactions=len(parts.kept.items),
        periods=parts.periods,
    )


def kept_histories(catalogue: Catalogue, source: DataSource) -> Interactions:
    """Return all kept interactions of every user, in the numbers of the split's candidates, with the times there are.

    Whole, where the split cuts them: who serves a user reads all of them.
    """
    kept = _parts(catalogue, source).kept
    return replace(kept, items=_numbers(kept.occurring(), len(catalogue.items))[kept.items])


def cut_windows(histories: Interactions, length: int) -> Interactions:
    """Cut histories from their end into windows of at most `length` items that overlap by one item.

    Every item but a history's first is a target exactly once.
    """
    step = length - 1
    num_windows = np.maximum(-(-(histories.lengths - 1) // step), 0)
    owners = np.repeat(np.arange(len(histories)), num_windows)
    newer = np.arange(len(owners)) - np.repeat(np.cumsum(num_windows) - num_windows, num_windows)
    ends = histories.offsets[owners + 1] - newer * step
    starts = np.maximum(histories.offsets[owners], ends - length)
    return histories.cut(starts, ends, users=tuple(histories.users[owner] for owner in owners.tolist()))


def _parts(catalogue: Catalogue, source: DataSource) -> _Parts:
    if not len(catalogue.interactions):
        raise DataError("no user is left after the length rule; lower data.minimum_history or give longer histories")
    cut = _cut_at_times if source.split == "global_time" else _leave_one_out
    return cut(catalogue.interactions, source)


def _numbers(candidates: npt.NDArray[np.int64], num_items: int) -> npt.NDArray[np.int32]:
    """Return the candidate's number of each of the catalogue's items, -1 where it is none."""
    numbers = np.full(num_items, -1, dtype=np.int32)
    numbers[candidates] = np.arange(len(candidates))
    return numbers


def _leave_one_out(interactions: Interactions, source: DataSource) -> _Parts:
    starts, ends = interactions.offsets[:-1], interactions.offsets[1:]
    if source.windows == "last":
        starts = np.maximum(starts, ends - (source.sequence_length + EXTRA))
    training = interactions.cut(starts, ends - HELD_OUT)
    return _Parts(
        kept=interactions.cut(starts, ends),
        training=training,
        validation=RankingCases(histories=training, targets=interactions.items[ends - 2]),
        test=RankingCases(histories=interactions.cut(starts, ends - 1), targets=interactions.items[ends - 1]),
        counts={},
    )


def _cut_at_times(interactions: Interactions, source: DataSource) -> _Parts:
    times = times_of(interactions)
    validation_from, test_from = starts_of_periods(times, source)
    validation_places = first_places_from(interactions, validation_from)
    test_places = first_places_from(interactions, test_from)
    starts, ends = interactions.offsets[:-1], interactions.offsets[1:]
    if source.windows == "last":
        starts = np.maximum(starts, validation_places - (source.sequence_length + 1))
    counts = {"users_in_training": int((validation_places - starts > 1).sum())}
    refuse_empty_training(counts["users_in_training"], times, source, validation_from)
    cases: dict[str, RankingCases] = {}
    for name, places, period_ends in (("validation", validation_places, test_places), ("test", test_places, ends)):
        has_target, has_history = period_ends > places, places > starts
        counts[f"users_without_history_in_{name}"] = int((has_target & ~has_history).sum())
        cases[name] = _cases(interactions, starts, places, has_target & has_history)
        counts[f"users_ranked_in_{name}"] = len(cases[name])
    refuse_empty_period("validation", len(cases["validation"]), times, source, validation_from, test_from)
    refuse_empty_period("test", len(cases["test"]), times, source, test_from)
    return _Parts(
        kept=interactions.cut(starts, ends),
        training=interactions.cut(starts, validation_places),
        validation=cases["validation"],
        test=cases["test"],
        counts=counts,
        periods=Periods(validation_from=validation_from, test_from=test_from),
    )


def _cases(
    interactions: Interactions,
    starts: npt.NDArray[np.int64],
    targets: npt.NDArray[np.int64],
    is_ranked: npt.NDArray[np.bool_],
) -> RankingCases:
    users = tuple(compress(interactions.users, is_ranked.tolist()))
    histories = interactions.cut(starts[is_ranked], targets[is_ranked], users=users)
    return RankingCases(histories=histories, targets=interactions.items[targets[is_ranked]])


def _renumbered(interactions: Interactions, numbers: npt.NDArray[np.int32]) -> Interactions:
    return replace(interactions, items=numbers[interactions.items])


def _renumbered_cases(cases: RankingCases, numbers: npt.NDArray[np.int32]) -> RankingCases:
    return RankingCases(histories=_renumbered(cases.histories, numbers), targets=numbers[cases.targets])
