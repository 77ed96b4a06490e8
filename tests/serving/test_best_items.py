"""The best items of a block are those of each user alone, bit for bit."""

import numpy as np
import pytest

from peftrec.profiles.base import NO_ITEM
from peftrec.serving.best_items import BestItems, best_items

NUM_USERS, NUM_ITEMS, DIM = 37, 211, 24
NOTHING = (np.zeros(0, dtype=np.int64),) * 2


def vectors(*, are_near: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return states and embeddings; near ones differ in their last bits alone, so that rounding orders them."""
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(NUM_ITEMS, DIM)).astype(np.float32)
    if are_near:
        embeddings = (embeddings[:1] * (1 + 1e-7 * random.integers(-4, 5, (NUM_ITEMS, DIM)))).astype(np.float32)
    return random.normal(size=(NUM_USERS, DIM)).astype(np.float32), embeddings


def best(
    states: np.ndarray, embeddings: np.ndarray, number: int, excluded: tuple[np.ndarray, np.ndarray] = NOTHING
) -> BestItems:
    longest = float(np.linalg.norm(embeddings, axis=1).max())
    return best_items(states, embeddings, number, excluded=excluded, largest_norm=longest)


@pytest.mark.parametrize("are_near", [False, True])
@pytest.mark.parametrize("number", [1, 7, NUM_ITEMS])
def test_they_are_the_first_of_all_exact_scores_in_order(number: int, are_near: bool) -> None:
    states, embeddings = vectors(are_near=are_near)
    found = best(states, embeddings, number)
    exact = (states[:, None].astype(np.float64) * embeddings).sum(axis=2).astype(np.float32)
    order = np.argsort(-exact, axis=1, kind="stable")[:, :number]  # equal scores in the order of the rows
    np.testing.assert_array_equal(found.items, order)
    np.testing.assert_array_equal(found.scores, np.take_along_axis(exact, order, axis=1))


@pytest.mark.parametrize("are_near", [False, True])
def test_a_block_answers_as_each_user_alone(are_near: bool) -> None:
    states, embeddings = vectors(are_near=are_near)
    together = best(states, embeddings, 9)
    for user in range(NUM_USERS):
        alone = best(states[user : user + 1], embeddings, 9)
        np.testing.assert_array_equal(alone.items[0], together.items[user])
        np.testing.assert_array_equal(alone.scores[0], together.scores[user])


def test_what_is_excluded_is_not_there_and_places_without_an_item_are_empty() -> None:
    states, embeddings = vectors(are_near=False)
    users, items = np.repeat([3, 5], NUM_ITEMS - 2), np.tile(np.arange(2, NUM_ITEMS), 2)
    found = best(states, embeddings, 4, (users, items))
    for user in (3, 5):
        assert set(found.items[user, :2].tolist()) == {0, 1}
        assert (found.items[user, 2:] == NO_ITEM).all()
        assert np.isneginf(found.scores[user, 2:]).all()
    assert (found.items[4] != NO_ITEM).all()
