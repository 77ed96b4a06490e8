"""What users did: one flat array of item indices with offsets, oldest first.

A dict of lists grows in every loader worker as reference counts touch its pages (pytorch/pytorch#13246); two flat
arrays do not, and no step over a million users is a Python loop over their interactions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64] | npt.NDArray[np.float64]


def offsets_of(lengths: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return where each of consecutive pieces starts, and the end of the last."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


@dataclass(frozen=True, kw_only=True)
class Interactions:
    """Histories of all users: user u's items are `items[offsets[u]:offsets[u + 1]]`, as 0-based item indices."""

    users: tuple[str, ...]
    items: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    times: Times | None = None
    """When each interaction happened, ascending within a user; None where only their order is known."""

    @classmethod
    def from_lists(
        cls, users: Sequence[str], histories: Sequence[Sequence[int] | npt.NDArray[np.int32]]
    ) -> "Interactions":
        """Pack one list of item indices per user."""
        lengths = np.fromiter((len(history) for history in histories), dtype=np.int64, count=len(histories))
        offsets = offsets_of(lengths)
        items = np.fromiter(chain.from_iterable(histories), dtype=np.int32, count=int(offsets[-1]))
        return cls(users=tuple(users), items=items, offsets=offsets)

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, user: int) -> npt.NDArray[np.int32]:
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def __iter__(self) -> Iterator[npt.NDArray[np.int32]]:
        return (self[user] for user in range(len(self)))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Items of each user."""
        return np.diff(self.offsets)

    def owners(self) -> npt.NDArray[np.int64]:
        """Return the user index of each interaction."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def occurring(self) -> npt.NDArray[np.int64]:
        """Return the items that occur, ascending."""
        return np.flatnonzero(np.bincount(self.items))

    def where(self, is_kept: npt.NDArray[np.bool_]) -> "Interactions":
        """Return the interactions that are kept; a user may be left with none."""
        return self._of(self.users, is_kept, offsets_of(is_kept)[self.offsets])

    def of_users(self, is_kept: npt.NDArray[np.bool_]) -> "Interactions":
        """Return the users that are kept, with all of their interactions."""
        users = tuple(compress(self.users, is_kept.tolist()))
        return self._of(users, np.repeat(is_kept, self.lengths), offsets_of(self.lengths[is_kept]))

    def cut(
        self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], *, users: tuple[str, ...] | None = None
    ) -> "Interactions":
        """Return pieces of the flat array, which may overlap, as histories: one a user, or those of `users`."""
        if np.array_equal(starts, self.offsets[:-1]) and np.array_equal(ends, self.offsets[1:]):
            # Nothing is cut off, and a copy of ten million interactions is 120 MB.
            return self if users is None else replace(self, users=users)
        offsets = offsets_of(ends - starts)
        places = np.repeat(starts - offsets[:-1], ends - starts)
        places += np.arange(offsets[-1])
        return self._of(self.users if users is None else users, places, offsets)

    def _of(
        self,
        users: tuple[str, ...],
        places: npt.NDArray[np.bool_] | npt.NDArray[np.int64],
        offsets: npt.NDArray[np.int64],
    ) -> "Interactions":
        times = None if self.times is None else self.times[places]
        return Interactions(users=users, items=self.items[places], offsets=offsets, times=times)
