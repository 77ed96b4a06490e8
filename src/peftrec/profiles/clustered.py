"""What profiles of several interests share: from a clustering to representatives, importance, and those served."""

from abc import abstractmethod
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.profiles.base import NO_ITEM, History, Interests, Profile, recency, unit_rows

_LEAST = np.finfo(np.float64).tiny


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClusteredProfile(Profile):
    """A cluster of the history is an interest (PinnerSage, arXiv:2007.03634, sections 4.2 and 4.3)."""

    representative: Literal["medoid", "centroid"] = "medoid"
    """The query of a cluster: its member with the least sum of squared distances to the others, of which a service
    need store the id alone; or the mean of its members, brought to length one."""

    decay: float = Field(default=0.01, ge=0)
    """Lambda of the importance sum_{i in C} exp(-decay (now - day_i)), a day; 0 counts items, 0.1 is for the latest."""

    num_served: int = Field(default=3, ge=1)
    """Interests to query with; a user with fewer is served by all."""

    selection: Literal["sampled", "top"] = "sampled"
    """Draw the served ones with probabilities proportional to importance, without replacement, or take the first."""

    @abstractmethod
    def clusters(self, embeddings: Float[np.ndarray, "step dim"]) -> Int[np.ndarray, " step"]:
        """Return the number of each step's cluster, from 0 without gaps."""

    def interests(self, history: History, catalogue: Float[np.ndarray, "item dim"], *, now: float) -> Interests:
        embeddings = catalogue[history.items]
        labels = self.clusters(embeddings)
        sizes = np.bincount(labels)
        grouped = embeddings[np.argsort(labels, kind="stable")].astype(np.float64)
        centroids = np.add.reduceat(grouped, np.cumsum(sizes) - sizes) / sizes[:, None]
        items = np.full(len(sizes), NO_ITEM)
        if self.representative == "medoid":
            items = history.items[medoids(embeddings, labels, centroids)]
        return Interests(
            vectors=catalogue[items] if self.representative == "medoid" else unit_rows(centroids),
            importance=np.bincount(labels, weights=recency(history, now=now, decay=self.decay)),
            items=items,
            sizes=sizes,
        ).by_importance()

    def serve(self, interests: Interests, generator: np.random.Generator) -> Interests:
        if len(interests) <= self.num_served:
            return interests
        chosen = np.arange(self.num_served)
        if self.selection == "sampled":
            chosen = np.sort(draw(interests.importance, self.num_served, generator))
        return interests.of(chosen)

    @property
    def is_random(self) -> bool:
        return self.selection == "sampled"


def medoids(
    embeddings: Float[np.ndarray, "step dim"],
    labels: Int[np.ndarray, " step"],
    centroids: Float[np.ndarray, "cluster dim"],
) -> Int[np.ndarray, " cluster"]:
    """Return the place of each cluster's medoid, of equal ones the latest.

    sum_j |P_m - P_j|^2 = n |P_m - c|^2 + const, so that it is the member nearest to the centroid c.
    """
    distances = np.square(embeddings - centroids[labels]).sum(axis=1)
    order = np.lexsort((-np.arange(len(labels)), distances, labels))
    return order[np.searchsorted(labels[order], np.arange(len(centroids)))]


def draw(
    importance: Float[np.ndarray, " interest"], number: int, generator: np.random.Generator
) -> Int[np.ndarray, " drawn"]:
    """Draw without replacement, each time in proportion to the importance of what is left.

    The largest of log importance plus Gumbel noise are such a draw (Vieira 2014; Kool et al., arXiv:1903.06059), which
    needs no probabilities: importance that is decades old may be too small for them.
    """
    noisy = np.log(np.maximum(importance, _LEAST)) + generator.gumbel(size=len(importance))
    return np.argsort(-noisy, kind="stable")[:number]
