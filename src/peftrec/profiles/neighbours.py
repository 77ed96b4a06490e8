"""Nearest neighbours of queries among unit rows, by cosine: exact, or approximate by a graph."""

from abc import ABC, abstractmethod
from dataclasses import dataclass as plain_dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.profiles.base import NO_ITEM
from peftrec.profiles.optional import optional_module


@plain_dataclass(frozen=True, kw_only=True)
class Found:
    """Neighbours of each query, the nearest first; NO_ITEM with the score -inf where fewer are left."""

    items: Int[np.ndarray, "query place"]
    scores: Float[np.ndarray, "query place"]
    """Dot products: cosines where rows and queries have length one."""


class NeighbourIndex(ABC):
    """A catalogue that can be searched."""

    @abstractmethod
    def search(
        self, queries: Float[np.ndarray, "query dim"], number: int, *, excluded: Int[np.ndarray, " excluded"]
    ) -> Found:
        """Return the nearest `number` rows of each query, without the excluded ones."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NeighbourSearch(ABC):
    """How neighbours are found."""

    @abstractmethod
    def index(self, catalogue: Float[np.ndarray, "item dim"]) -> NeighbourIndex:
        """Prepare the search among rows of length one."""


class ExactIndex(NeighbourIndex):
    """All scores are computed."""

    def __init__(self, catalogue: Float[np.ndarray, "item dim"]) -> None:
        self.catalogue = catalogue

    def search(
        self, queries: Float[np.ndarray, "query dim"], number: int, *, excluded: Int[np.ndarray, " excluded"]
    ) -> Found:
        scores = queries @ self.catalogue.T
        scores[:, excluded] = -np.inf
        number = min(number, scores.shape[1])
        items = np.argpartition(-scores, number - 1, axis=1)[:, :number]
        best = np.take_along_axis(scores, items, axis=1)
        order = np.lexsort((items, -best), axis=1)
        items, best = np.take_along_axis(items, order, axis=1), np.take_along_axis(best, order, axis=1)
        return Found(items=np.where(np.isfinite(best), items, NO_ITEM), scores=best)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Exact(NeighbourSearch):
    """Compare with every row; for catalogues of up to some hundred thousand items, and to check the other one."""

    def index(self, catalogue: Float[np.ndarray, "item dim"]) -> ExactIndex:
        return ExactIndex(catalogue)


class HnswIndex(NeighbourIndex):
    """faiss walks its graph towards the query; excluded rows are walked through and not returned."""

    def __init__(self, settings: "HNSW", catalogue: Float[np.ndarray, "item dim"]) -> None:
        self.faiss = optional_module("faiss", key="neighbours=hnsw")
        self.settings = settings
        self.graph: Any = self.faiss.IndexHNSWFlat(
            catalogue.shape[1], settings.num_links, self.faiss.METRIC_INNER_PRODUCT
        )
        self.graph.hnsw.efConstruction = settings.building_breadth
        self.graph.add(np.ascontiguousarray(catalogue, dtype=np.float32))

    def search(
        self, queries: Float[np.ndarray, "query dim"], number: int, *, excluded: Int[np.ndarray, " excluded"]
    ) -> Found:
        number = min(number, self.graph.ntotal)
        keywords: dict[str, Any] = {"efSearch": max(self.settings.search_breadth, number)}
        if len(excluded):
            batch = self.faiss.IDSelectorBatch(np.unique(excluded).astype(np.int64))
            keywords["sel"] = self.faiss.IDSelectorNot(batch)
        parameters = self.faiss.SearchParametersHNSW(**keywords)
        scores, items = self.graph.search(np.ascontiguousarray(queries, dtype=np.float32), number, params=parameters)
        return Found(items=items, scores=np.where(items == NO_ITEM, -np.inf, scores).astype(np.float32))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HNSW(NeighbourSearch):
    """Hierarchical navigable small worlds (Malkov and Yashunin, arXiv:1603.09320), as PinnerSage serves them.

    The graph depends on the order of its building, and so on the number of threads that build it.
    """

    num_links: int = Field(default=32, ge=2)
    """Of a row in each layer, M; more cost memory and find more."""

    building_breadth: int = Field(default=200, ge=1)
    """Candidates kept while a row is linked, efConstruction."""

    search_breadth: int = Field(default=128, ge=1)
    """Candidates kept while a query walks, efSearch; at least the neighbours asked for."""

    def index(self, catalogue: Float[np.ndarray, "item dim"]) -> HnswIndex:
        return HnswIndex(self, catalogue)


class ComparedIndex(NeighbourIndex):
    """A search that counts how many of the exact neighbours it finds."""

    def __init__(self, index: NeighbourIndex, exact: ExactIndex) -> None:
        self.index = index
        self.exact = exact
        self.num_found = 0
        self.num_exact = 0

    def search(
        self, queries: Float[np.ndarray, "query dim"], number: int, *, excluded: Int[np.ndarray, " excluded"]
    ) -> Found:
        found = self.index.search(queries, number, excluded=excluded)
        exact = self.exact.search(queries, number, excluded=excluded)
        for ours, theirs in zip(found.items, exact.items, strict=True):
            self.num_found += len(np.intersect1d(ours[ours != NO_ITEM], theirs))
            self.num_exact += int((theirs != NO_ITEM).sum())
        return found

    def recall(self) -> float:
        """Return the share of the exact neighbours that were found so far."""
        return self.num_found / self.num_exact
