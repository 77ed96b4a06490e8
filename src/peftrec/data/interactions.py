"""What users did: one flat array of item indices with offsets, oldest first.

A dict of lists grows in every loader worker as reference counts touch its pages (pytorch/pytorch#13246); two flat
arrays do not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Interactions:
    """Histories of all users: user u's items are `items[offsets[u]:offsets[u + 1]]`, as 0-based item indices."""

    users: tuple[str, ...]
    items: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def from_lists(
        cls, users: Sequence[str], histories: Sequence[Sequence[int] | npt.NDArray[np.int32]]
    ) -> "Interactions":
        """Pack one list of item indices per user."""
        lengths = np.fromiter((len(history) for history in histories), dtype=np.int64, count=len(histories))
        flat = [item for history in histories for item in history]
        return cls(
            users=tuple(users),
            items=np.asarray(flat, dtype=np.int32),
            offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
        )

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, user: int) -> npt.NDArray[np.int32]:
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def __iter__(self) -> Iterator[npt.NDArray[np.int32]]:
        return (self[user] for user in range(len(self)))
