"""Last item, decay average and k-means, each from its definition."""

import numpy as np
import pytest

from peftrec.profiles.base import NO_ITEM, History
from peftrec.profiles.decay_average import DecayAverage
from peftrec.profiles.kmeans import KMeans
from peftrec.profiles.last_item import LastItem
from small_profiles import small_catalogue, small_history


def test_the_last_item_is_the_query() -> None:
    catalogue, history = small_catalogue(), small_history(9)
    interests = LastItem().interests(history, catalogue, now=200.0)
    np.testing.assert_array_equal(interests.vectors, catalogue[history.items[-1:]])
    assert interests.items.tolist() == [history.items[-1]]
    assert not LastItem().is_random


@pytest.mark.parametrize("decay", [0.0, 0.01, 0.1])
def test_the_average_fades(decay: float) -> None:
    catalogue, history = small_catalogue(), small_history(20)
    interests = DecayAverage(decay=decay).interests(history, catalogue, now=150.0)
    weights = np.exp(-decay * (150.0 - history.known_days()))
    average = weights @ catalogue[history.items]
    np.testing.assert_allclose(interests.vectors[0], average / np.linalg.norm(average), atol=1e-6)
    np.testing.assert_allclose(interests.importance, [weights.sum()])
    assert interests.items.tolist() == [NO_ITEM]


def test_cosines_with_an_average_are_sums_over_the_history() -> None:
    """cos(query, item) = sum_i w_i cos(P_i, item) / |sum_i w_i P_i|: what speaks for an item adds up."""
    catalogue, history = small_catalogue(), small_history(20)
    query = DecayAverage(decay=0.05).interests(history, catalogue, now=100.0).vectors[0]
    weights = np.exp(-0.05 * (100.0 - history.known_days()))
    length = np.linalg.norm(weights @ catalogue[history.items])
    parts = weights[:, None] * (catalogue[history.items] @ catalogue.T)
    np.testing.assert_allclose(query @ catalogue.T, parts.sum(axis=0) / length, atol=1e-5)


def test_an_old_history_still_has_an_average() -> None:
    history = History(items=np.array([1, 2]), days=np.array([0.0, 1.0]))
    interests = DecayAverage(decay=1.0).interests(history, small_catalogue(), now=1e4)
    assert np.isfinite(interests.vectors).all()


def test_kmeans_finds_bundles() -> None:
    random = np.random.default_rng(0)
    centres = np.eye(5, 8)
    embeddings = (centres[np.arange(40) % 5] + 0.01 * random.normal(size=(40, 8))).astype(np.float32)
    labels = KMeans(num_clusters=5).clusters(embeddings)
    for bundle in range(5):
        assert len(set(labels[bundle::5].tolist())) == 1
    assert set(labels.tolist()) == set(range(5))


@pytest.mark.parametrize("distinct", [1, 3, 5])
def test_a_history_with_few_items_has_as_many_clusters(distinct: int) -> None:
    catalogue = small_catalogue()
    history = History(items=np.tile(np.arange(distinct), 4), days=np.arange(4.0 * distinct))
    interests = KMeans(num_clusters=5, decay=0.0).interests(history, catalogue, now=100.0)
    assert sorted(interests.items.tolist()) == list(range(distinct))
    assert set(interests.sizes.tolist()) == {4}


def test_kmeans_does_not_depend_on_who_was_clustered_before() -> None:
    catalogue, history = small_catalogue(), small_history(40)
    first = KMeans().interests(history, catalogue, now=100.0)
    KMeans().interests(small_history(30, seed=5), catalogue, now=100.0)
    np.testing.assert_array_equal(first.items, KMeans().interests(history, catalogue, now=100.0).items)
