"""Histories of a finished run's users, whole: what was held out for validation and test is the past for a service."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from peftrec.data.interactions import Interactions
from peftrec.data.split import kept_histories
from peftrec.errors import SHOWN, DataError, counted
from peftrec.profiles.base import History
from peftrec.serving.catalogue import nearest
from peftrec.training.run.restored_run import RestoredRun

SECONDS_A_DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class UserHistories:
    """All kept interactions, in the rows of the run's candidates."""

    interactions: Interactions
    day_length: float
    """A day in the unit of the data's timestamps."""

    @classmethod
    def of(cls, run: RestoredRun, *, day_length: float) -> "UserHistories":
        """Take what the run's data holds; with data.windows=last that is the end of each history."""
        return cls(interactions=kept_histories(run.catalogue, run.settings.data), day_length=day_length)

    def __len__(self) -> int:
        return len(self.interactions)

    def __iter__(self) -> Iterator[tuple[str, History]]:
        return ((user, self.of_row(row)) for row, user in enumerate(self.interactions.users))

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each user."""
        return {user: row for row, user in enumerate(self.interactions.users)}

    def of_user(self, user: str) -> History:
        """Return a user's history. Raises DataError that names the nearest ids of a user who is not there."""
        return self.of_row(self.row_of(user))

    def row_of(self, user: str) -> int:
        """Return a user's row in `interactions`. Raises DataError as `of_user`."""
        if user not in self.rows:
            users = self.interactions.users
            raise DataError(f"user: there is no user {user!r} among {len(users):,}{nearest(user, users)}")
        return self.rows[user]

    def rows_of(self, users: Sequence[str]) -> Int[np.ndarray, " user"]:
        """Return the rows of many users. Raises DataError that counts those who are not there and names the first few,
        each with the nearest ids."""
        if unknown := self.unknown(users):
            known = self.interactions.users
            first = "; ".join(f"{user!r}{nearest(user, known)}" for user in unknown[:SHOWN])
            others = f"; and {len(unknown) - SHOWN:,} more" if len(unknown) > SHOWN else ""
            are = "is" if len(unknown) == 1 else "are"
            raise DataError(
                f"{len(unknown):,} of {counted(len(users), 'user')} {are} not among the {len(known):,} of the run: "
                f"{first}{others}"
            )
        return np.fromiter((self.rows[user] for user in users), dtype=np.int64, count=len(users))

    def unknown(self, users: Sequence[str]) -> list[str]:
        """Return the users who are not there, in their order."""
        return [user for user in users if user not in self.rows]

    def of_row(self, row: int) -> History:
        """Return the history of a row of `interactions`, its times in days."""
        part = slice(*self.interactions.offsets[row : row + 2].tolist())
        times = self.interactions.times
        return History(
            items=self.interactions.items[part].astype(np.int64),
            days=None if times is None else times[part].astype(np.float64) / self.day_length,
        )
