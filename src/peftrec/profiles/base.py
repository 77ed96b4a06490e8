"""The contract of a profile: how a user's history becomes query vectors, one an interest."""

from abc import ABC, abstractmethod
from dataclasses import dataclass as plain_dataclass

import numpy as np
from jaxtyping import Float, Int
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import DataError, SettingsError

NO_ITEM = -1
"""Stands where no item does: for the query of an interest that no single item represents."""


@plain_dataclass(frozen=True, kw_only=True)
class History:
    """What one user did, oldest first."""

    items: Int[np.ndarray, " step"]
    """Rows of the catalogue."""
    days: Float[np.ndarray, " step"] | None = None
    """When, in days from any origin, ascending; None where only the order is known."""

    def __len__(self) -> int:
        return len(self.items)

    def between(self, start: float, end: float) -> "History":
        """Return what happened in start <= day < end. Raises DataError where the times are not known."""
        first, last = np.searchsorted(self.known_days(), [start, end])
        return self[int(first) : int(last)]

    def known_days(self) -> Float[np.ndarray, " step"]:
        """Return the times. Raises DataError where there are none."""
        if self.days is None:
            raise DataError(
                "this needs timestamps and the run's data has none: train on data that has them (data=table with "
                "data.timestamp_column, data=recbole with data.time_field)"
            )
        return self.days

    def __getitem__(self, part: slice) -> "History":
        return History(items=self.items[part], days=None if self.days is None else self.days[part])


@plain_dataclass(frozen=True, kw_only=True)
class Interests:
    """What a user is interested in, the most important interest first."""

    vectors: Float[np.ndarray, "interest dim"]
    """Queries of length one, so that dot products with a catalogue of unit rows are cosines."""
    importance: Float[np.ndarray, " interest"]
    items: Int[np.ndarray, " interest"]
    """Row of the item that represents each interest, NO_ITEM where none does."""
    sizes: Int[np.ndarray, " interest"]
    """How much of the history each interest holds."""

    def __len__(self) -> int:
        return len(self.importance)

    def of(self, chosen: Int[np.ndarray, " chosen"]) -> "Interests":
        """Return the chosen interests, in the order of `chosen`."""
        return Interests(
            vectors=self.vectors[chosen],
            importance=self.importance[chosen],
            items=self.items[chosen],
            sizes=self.sizes[chosen],
        )

    def by_importance(self) -> "Interests":
        """Return them sorted, the most important first; equal ones stay in their order."""
        return self.of(np.argsort(-self.importance, kind="stable"))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Profile(ABC):
    """One way to describe a user by vectors in the space of the items; its fields are its hyper-parameters."""

    @abstractmethod
    def interests(self, history: History, catalogue: Float[np.ndarray, "item dim"], *, now: float) -> Interests:
        """Return all interests that a history of at least one step shows at the day `now`.

        `catalogue` has rows of length one (see `unit_rows`); nothing in the history is later than `now`.
        """

    def serve(self, interests: Interests, generator: np.random.Generator) -> Interests:
        """Return those to query with now: all, unless a profile chooses among them."""
        return interests

    @property
    def is_random(self) -> bool:
        """Say whether what is served depends on the generator."""
        return False


def unit_rows(embeddings: Float[np.ndarray, "item dim"]) -> Float[np.ndarray, "item dim"]:
    """Return the rows at length one, in which dot products are cosines. Raises DataError for a row that has none."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(wrong):
        raise DataError(
            f"{len(wrong)} of {len(embeddings)} embeddings are zero or not finite, the first in row {wrong[0]}"
        )
    return (embeddings / lengths).astype(np.float32)


def recency(history: History, *, now: float, decay: float) -> Float[np.ndarray, " step"]:
    """Return exp(-decay (now - day)) for each step (PinnerSage, section 4.3), which is 1 everywhere without decay.

    Raises SettingsError where a decay needs times that the data does not have, ValueError for a step later than now.
    """
    if decay == 0:
        return np.ones(len(history))
    if history.days is None:
        raise SettingsError(
            "profile.decay: the run's data has no timestamps; set profile.decay=0, or train on data that has them "
            "(data=table with data.timestamp_column, data=recbole with data.time_field)"
        )
    if len(history) and history.days[-1] > now:
        raise ValueError(f"a step on day {history.days[-1]} is later than now, day {now}")
    weights: Float[np.ndarray, " step"] = np.exp(-decay * (now - history.days))
    return weights
