"""Content neighbours: the formula as a literal loop, and what no weight and no other item may change."""

import numpy as np
import pytest

from peftrec.cold_start.content import CLIP, standardise
from peftrec.cold_start.content_neighbours import ContentNeighbours

ITEMS, FEATURES, DIM, USERS = 60, 12, 5, 9


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(1).normal(3.0, 2.0, (ITEMS, FEATURES)).astype(np.float32)


@pytest.fixture
def embeddings() -> np.ndarray:
    return np.random.default_rng(2).normal(0.5, 1.0, (ITEMS, DIM)).astype(np.float32)


@pytest.fixture
def states() -> np.ndarray:
    return np.random.default_rng(3).normal(0.0, 2.0, (USERS, DIM)).astype(np.float32)


LAST = np.arange(USERS) * 3


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))


def test_queries_are_the_formula(rows: np.ndarray, embeddings: np.ndarray, states: np.ndarray) -> None:
    neighbours = ContentNeighbours.of(rows, embeddings)
    found = neighbours.queries(states, LAST) @ neighbours.vectors.T
    content = standardise(rows.astype(np.float64), clip=CLIP)
    for user in range(USERS):
        own = [float(states[user].astype(np.float64) @ embedding) for embedding in embeddings]
        cosines = [cosine(content[LAST[user]], content[item]) for item in range(ITEMS)]
        ratio = np.std(own) / np.std(cosines)
        np.testing.assert_allclose(found[user], [ratio * each for each in cosines], rtol=1e-4, atol=1e-4)


def test_a_users_query_does_not_depend_on_who_else_is_asked_about(
    rows: np.ndarray, embeddings: np.ndarray, states: np.ndarray
) -> None:
    neighbours = ContentNeighbours.of(rows, embeddings)
    together = neighbours.queries(states, LAST)
    for user in range(USERS):
        alone = neighbours.queries(states[user : user + 1], LAST[user : user + 1])
        np.testing.assert_array_equal(alone[0], together[user])


def test_added_items_change_nobody_elses_figures(rows: np.ndarray, embeddings: np.ndarray, states: np.ndarray) -> None:
    """A copy of an item is what the item is, and one that is far from all leaves them as they were."""
    neighbours = ContentNeighbours.of(rows, embeddings)
    far = np.full((1, FEATURES), 1e4, dtype=np.float32)
    more = neighbours.with_items(neighbours.vectors_of(np.concatenate([rows[4:5], far])))
    np.testing.assert_array_equal(more.vectors[:ITEMS], neighbours.vectors)
    np.testing.assert_array_equal(more.queries(states, LAST), neighbours.queries(states, LAST))
    np.testing.assert_allclose(more.vectors[ITEMS], neighbours.vectors[4], atol=1e-6)
    np.testing.assert_allclose(more.spreads[ITEMS], neighbours.spreads[4], rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 7.0])
def test_content_that_tells_no_items_apart_says_nothing(
    value: float, embeddings: np.ndarray, states: np.ndarray
) -> None:
    neighbours = ContentNeighbours.of(np.full((ITEMS, FEATURES), value, dtype=np.float32), embeddings)
    assert not neighbours.queries(states, LAST).any()


def test_without_a_score_of_its_own_a_user_has_no_neighbours(rows: np.ndarray, embeddings: np.ndarray) -> None:
    """Where the run scores all items alike, neighbours count in units of nothing."""
    neighbours = ContentNeighbours.of(rows, embeddings)
    assert not neighbours.queries(np.zeros((USERS, DIM), dtype=np.float32), LAST).any()
