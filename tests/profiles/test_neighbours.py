"""Exact search against sorting; the graph against exact search."""

import sys

import numpy as np
import pytest

from peftrec.errors import SettingsError
from peftrec.profiles.base import NO_ITEM, unit_rows
from peftrec.profiles.neighbours import HNSW, ComparedIndex, Exact, ExactIndex
from small_profiles import small_catalogue

NOTHING = np.zeros(0, dtype=np.int64)


@pytest.mark.parametrize("number", [1, 7, 60, 100])
def test_exact_search_is_a_sort(number: int) -> None:
    catalogue, queries = small_catalogue(), small_catalogue(6, seed=3)
    excluded = np.array([4, 4, 17, 59])
    found = Exact().index(catalogue).search(queries, number, excluded=excluded)
    assert found.items.shape == (6, min(number, 60))
    for query, items, scores in zip(queries, found.items, found.scores, strict=True):
        left = [item for item in range(60) if item not in excluded]
        order = sorted(left, key=lambda item: -float(query @ catalogue[item]))[:number]
        assert items[: len(order)].tolist() == order
        assert set(items[len(order) :].tolist()) <= {NO_ITEM}
        np.testing.assert_allclose(scores[: len(order)], catalogue[order] @ query, atol=1e-6)


def test_the_graph_finds_nearly_all_and_nothing_excluded() -> None:
    random = np.random.default_rng(0)
    catalogue = unit_rows(random.normal(size=(1500, 16)))
    queries = unit_rows(random.normal(size=(50, 16)))
    excluded = random.choice(1500, 750, replace=False)
    index = ComparedIndex(HNSW().index(catalogue), ExactIndex(catalogue))
    for each in (NOTHING, excluded):
        found = index.search(queries, 40, excluded=each)
        assert not np.isin(found.items, each).any()
        assert (np.diff(found.scores, axis=1) <= 0).all()
        kept = found.items != NO_ITEM
        scores = (queries[:, None] * catalogue[found.items]).sum(axis=-1)
        np.testing.assert_allclose(found.scores[kept], scores[kept], atol=1e-5)
    assert index.num_exact == 2 * 50 * 40
    assert index.recall() > 0.98


def test_the_graph_gives_all_there_is() -> None:
    catalogue = small_catalogue()
    found = HNSW().index(catalogue).search(catalogue[:2], 100, excluded=np.arange(50))
    for items in found.items:
        assert set(items[items != NO_ITEM].tolist()) <= set(range(50, 60))
        assert items.shape == (60,)


def test_recall_counts_what_was_missed() -> None:
    catalogue = small_catalogue()

    class Blind(ExactIndex):
        def search(self, queries, number, *, excluded):  # type: ignore[no-untyped-def]
            return super().search(queries, number, excluded=np.arange(0, 60, 2))

    index = ComparedIndex(Blind(catalogue), ExactIndex(catalogue))
    index.search(catalogue[:3], 60, excluded=NOTHING)
    assert index.recall() == 0.5


@pytest.mark.parametrize("module", ["faiss", "sklearn.cluster"])
def test_a_missing_package_names_its_extra(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from peftrec.profiles.kmeans import KMeans

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=r'pip install "peftrec\[profiles\]"'):
        HNSW().index(small_catalogue()) if module == "faiss" else KMeans().clusters(small_catalogue())
