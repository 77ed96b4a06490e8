"""From one row an interaction to histories: users gathered, times sorted, items numbered, without a Python loop."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from peftrec.data.choices import RepeatedInteractions, UnknownItems
from peftrec.data.interactions import Interactions, Times, offsets_of
from peftrec.data.tables.columns import Encoded
from peftrec.data.tables.mistakes import Mistakes
from peftrec.data.tables.tables import HistoryTable, ItemTable, Unlisted, item_numbers
from peftrec.errors import SHOWN, DataError


@dataclass(frozen=True, kw_only=True)
class Events:
    """One row an interaction; without times the rows of a user stand in their order."""

    file: Path
    users: Encoded
    items: Encoded
    times: Times | None
    lines: Sequence[int]


@dataclass(kw_only=True)
class EventLinking:
    """Makes histories of events and applies the two policies on single rows, with counts; what they refuse is noted."""

    events: Events
    items: ItemTable
    unknown_items: UnknownItems
    repeated: RepeatedInteractions
    counts: dict[str, int] = field(default_factory=dict)
    mistakes: Mistakes = field(default_factory=Mistakes)

    def link(self) -> HistoryTable:
        """Sort each user's rows by time, rows of one time as the file has them, and number their items."""
        events = self.events
        item_of_row = item_numbers(self.items, events.items.names)[events.items.codes]
        rows = self._in_order(self._known(item_of_row))
        users = events.users.codes[rows]
        lengths = np.bincount(users, minlength=len(events.users.names))
        interactions = Interactions(
            users=tuple(events.users.names),
            items=item_of_row[rows],
            offsets=offsets_of(lengths),
            times=None if events.times is None else events.times[rows],
        )
        first_rows = first_places(events.users)
        return HistoryTable(
            file=events.file,
            interactions=interactions,
            lines=lines_of(events.lines, first_rows),
            lengths_in_file=np.bincount(events.users.codes, minlength=len(events.users.names)),
            counts=self.counts,
            mistakes=self.mistakes,
        )

    def _known(self, item_of_row: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """Return the rows whose item has a row among the items."""
        is_known = item_of_row >= 0
        unknown = np.flatnonzero(~is_known)
        if self.unknown_items == "drop":
            self.counts["interactions_dropped_unknown_item"] = len(unknown)
        elif len(unknown):
            names, codes = self.events.items.names, self.events.items.codes
            found = Unlisted(
                names=[names[code] for code in codes[unknown].tolist()],
                lines=[int(self.events.lines[row]) for row in unknown[:SHOWN].tolist()],
            )
            message = f"{found.message(self.items, self.events.file)}; add it there, or set data.unknown_items=drop"
            if not is_known.any():
                raise DataError(message)
            self.mistakes.note(message, "data.unknown_items=drop")
        return np.flatnonzero(is_known)

    def _in_order(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the rows by user and time; sorting is stable."""
        users, times = self.events.users.codes[rows], self.events.times
        if times is None:
            ordered = rows[np.argsort(users, kind="stable")]
            return self._earliest(ordered) if self.repeated == "earliest" else ordered
        ordered = rows[by_user_and_time(users, times[rows])]
        if self.repeated == "earliest":
            return self._earliest(ordered)
        return self._without_repetitions(ordered, times)

    def _earliest(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the first row of each user and item."""
        num_items = len(self.events.items.names)
        pairs = self.events.users.codes[rows].astype(np.int64) * num_items + self.events.items.codes[rows]
        is_first = ~pd.Series(pairs).duplicated().to_numpy()
        self.counts["interactions_dropped_later"] = int(len(rows) - is_first.sum())
        return rows[is_first]

    def _without_repetitions(self, rows: npt.NDArray[np.int64], times: Times) -> npt.NDArray[np.int64]:
        """Settle rows of the same user, item and time, which logs hold where an event was written twice."""
        users, items = self.events.users.codes, self.events.items.codes
        is_tie = (np.diff(users[rows]) == 0) & (np.diff(times[rows]) == 0)
        tied = np.flatnonzero(np.append(is_tie, False) | np.insert(is_tie, 0, False))
        same = pd.DataFrame({"user": users[rows[tied]], "time": times[rows[tied]], "item": items[rows[tied]]})
        repeated = tied[same.duplicated().to_numpy()]
        if self.repeated == "keep":
            self.counts["interactions_repeated"] = len(repeated)
            return rows
        if self.repeated == "drop":
            self.counts["interactions_dropped_repeated"] = len(repeated)
        elif len(repeated):
            message = self._repetition(int(rows[repeated].min()), len(repeated))
            self.mistakes.note(message, "data.repeated_interactions=drop")
        return np.delete(rows, repeated)

    def _repetition(self, row: int, total: int) -> str:
        events = self.events
        others = f" (and {total - 1} more such rows)" if total > 1 else ""
        return (
            f"{events.file}:{events.lines[row]}: user {events.users.names[events.users.codes[row]]!r} has item "
            f"{events.items.names[events.items.codes[row]]!r} at this time in an earlier row already{others}: "
            "set data.repeated_interactions=drop to take such rows once, or keep"
        )


def by_user_and_time(users: npt.NDArray[np.int32], times: Times) -> npt.NDArray[np.int64]:
    """Return the order by user and time; rows of one user and time stay as they are.

    Users and whole times that fit into one number are sorted as one, in a third of the time of two sorts.
    """
    if not len(users) or not np.issubdtype(times.dtype, np.integer):
        return np.lexsort((times, users))
    first = int(times.min())
    span = int(times.max()) - first + 1
    if (int(users.max()) + 1) * span > np.iinfo(np.int64).max:
        return np.lexsort((times, users))
    keys = users.astype(np.int64)
    keys *= span
    keys += times.astype(np.int64, copy=False)
    keys -= first
    return np.argsort(keys, kind="stable")


def first_places(column: Encoded) -> npt.NDArray[np.int64]:
    """Return the row in which each name stands first; names are numbered in the order of these rows."""
    codes = column.codes
    is_first = np.ones(len(codes), dtype=np.bool_)
    is_first[1:] = codes[1:] > np.maximum.accumulate(codes)[:-1]
    return np.flatnonzero(is_first)


def lines_of(lines: Sequence[int], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the lines of some rows."""
    if isinstance(lines, range):
        return lines.start + lines.step * rows
    return np.asarray(lines, dtype=np.int64)[rows]
