"""From the body of a request to what it asks: the history that it speaks of, and the group that answers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from peftrec.data.interactions import Times
from peftrec.errors import DataError, SettingsError, UserError
from peftrec.serving.catalogue import nearest
from peftrec.serving.http.limits import LONGEST_ID, Limits
from peftrec.serving.http.messages import RecommendBody
from peftrec.serving.recommending import check_num_left
from peftrec.serving.user_histories import UserHistories
from peftrec.user_groups.held_groups import HeldGroups

MOST_SEARCHED = 2_000
"""Ids among which the nearest to an unknown one are looked for, in some 30 ms: everybody waits meanwhile."""


class UnknownError(DataError):
    """A run, user or item that is not there."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request for recommendations, its history found."""

    body: RecommendBody
    group: int
    """Of the user; 0 for who is in none."""
    items: Int[np.ndarray, " step"]
    times: Times | None
    excluded: Int[np.ndarray, " seen"]


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What requests are looked up in."""

    name: str
    """Of the run."""
    limits: Limits
    users: UserHistories
    rows: Mapping[str, int]
    """Row of each item that is served; who adds items adds them here."""
    groups: HeldGroups | None
    reads_times: bool
    """Whether the run's user encoder reads when items were taken."""

    def asked_or_refused(self, body: RecommendBody) -> Asked | UserError:
        """Return what a request asks, or the error that refuses it."""
        try:
            return self.asked(body)
        except UserError as error:
            return error

    def asked(self, body: RecommendBody) -> Asked:
        """Find the history that a request speaks of. Raises UserError for what there is not, or is too much."""
        self.limits.check_k(body.k)
        items, times = self._of_user(body.user) if body.user is not None else self._of_items(body.items or [])
        excluded = items[:0] if body.seen else np.unique(items)
        check_num_left(body.k, len(self.rows) - len(excluded))
        group = 0 if self.groups is None else self.groups.group_of(body.user)
        return Asked(body=body, group=group, items=items, times=times, excluded=excluded)

    def _of_user(self, user: str) -> tuple[Int[np.ndarray, " step"], Times | None]:
        row = self.users.rows.get(user)
        if row is None:
            raise self._unknown("user", user, self.users.rows, key="user")
        taken, times = self.users.interactions, self.users.interactions.times
        part = slice(*taken.offsets[row : row + 2].tolist())
        return taken.items[part].astype(np.int64), None if times is None else times[part]

    def _of_items(self, items: Sequence[str]) -> tuple[Int[np.ndarray, " step"], None]:
        self.limits.check_history(items)
        if self.reads_times:
            raise SettingsError("items: the run's user encoder reads times, which a list of items lacks; name a user")
        if unknown := [item for item in items if item not in self.rows]:
            raise self._unknown("item", unknown[0], self.rows, key="items")
        return np.array([self.rows[item] for item in items], dtype=np.int64), None

    def _unknown(self, kind: str, name: str, known: Collection[str], *, key: str) -> UnknownError:
        near = nearest(name, list(known)) if len(known) <= MOST_SEARCHED and len(name) <= LONGEST_ID else ""
        return UnknownError(f"{key}: there is no {kind} {name!r} among the {len(known):,} of {self.name}{near}")

    def checked_group(self, group: int | None) -> int:
        """Return the number of a group, 0 for the run's own part. Raises DataError for one that is not served."""
        if group is None:
            return 0
        if self.groups is None:
            raise DataError(f"group: {self.name} is served without groups; leave it out, or serve with groups=NUMBER")
        if group > len(self.groups):
            raise UnknownError(f"group: there is no group {group} among the {len(self.groups)} of {self.name}")
        return group
