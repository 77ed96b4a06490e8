"""Item-based neighbours against ten dense lines, and what keeps memory bounded changes nothing."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from peftrec.evaluation import item_knn
from peftrec.evaluation.item_knn import NUM_NEIGHBOURS, UNTUNED, ItemKnn, neighbours_of, score_users, user_item_matrix

Histories = list[list[int]]


def flat(histories: Histories) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    items = np.array([item for history in histories for item in history], dtype=np.int32)
    return items, np.cumsum([0, *map(len, histories)]).astype(np.int64)


def sparse_scores(
    training: Histories, histories: Histories, num_items: int, k: int, method: ItemKnn = UNTUNED
) -> npt.NDArray[np.float32]:
    items, offsets = flat(training)
    users = np.repeat(np.arange(len(training)), np.diff(offsets))
    matrix = user_item_matrix(users, items, num_users=len(training), num_items=num_items)
    return score_users(neighbours_of(matrix, replace(method, neighbours=k)), *flat(histories))


def dense_scores(
    training: Histories, histories: Histories, num_items: int, k: int, method: ItemKnn = UNTUNED
) -> npt.NDArray[np.float64]:
    """The definition, one item and one user at a time."""
    taken = np.array([[item in history for item in range(num_items)] for history in training], dtype=float)
    together = taken.T @ taken
    np.fill_diagonal(together, 0)
    counts = taken.sum(axis=0)
    if method.similarity == "cosine":
        sizes = np.sqrt(np.maximum(np.outer(counts, counts), 1))
    else:
        sizes = np.maximum([[len(np.flatnonzero(one + other)) for other in taken.T] for one in taken.T], 1)
    similar = together / (sizes + method.shrinkage)
    for row in similar:
        row[np.argsort(-row, kind="stable")[k:]] = 0
    return np.array([sum((similar[item] for item in set(history)), np.zeros(num_items)) for history in histories])


def random_histories(seed: int, users: int, num_items: int) -> Histories:
    random = np.random.default_rng(seed)
    weights = 1 / np.arange(1, num_items + 1)
    return [random.choice(num_items, random.integers(1, 9), p=weights / weights.sum()).tolist() for _ in range(users)]


def test_similarities_by_hand() -> None:
    """Item 0 has three users, 1 has two, both share two; 2 shares one user with 0; nobody took 3 in training."""
    scores = sparse_scores([[0, 1], [0, 1, 1], [0, 2]], [[1], [0], [0, 1, 0], [3], []], num_items=4, k=9)
    near, far = 2 / np.sqrt(6), 1 / np.sqrt(3)
    expected = [[near, 0, 0, 0], [0, near, far, 0], [near, near, far, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_a_neighbourhood_holds_the_most_similar_and_the_first_of_equals() -> None:
    training = [[0, 1], [0, 2], [0, 3], [0, 3], [0, 4]]
    scores = sparse_scores(training, [[0]], num_items=5, k=2)
    np.testing.assert_allclose(scores, [[0, 1 / np.sqrt(5), 0, 2 / np.sqrt(10), 0]], rtol=1e-6)


@pytest.mark.parametrize("k", [1, 3, NUM_NEIGHBOURS])
@pytest.mark.parametrize("most", [1, 50, 2**20])
@pytest.mark.parametrize("method", [UNTUNED, ItemKnn(shrinkage=2.5), ItemKnn(similarity="jaccard", shrinkage=0.5)])
def test_agrees_with_the_dense_definition_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch, k: int, most: int, method: ItemKnn
) -> None:
    training, histories = random_histories(0, 60, 40), random_histories(1, 25, 40)
    monkeypatch.setattr(item_knn, "_MOST_SIMILARITIES", most)
    found = sparse_scores(training, histories, 40, k, method)
    np.testing.assert_allclose(found, dense_scores(training, histories, 40, k, method), rtol=1e-6)
    assert np.count_nonzero(found)


def test_no_block_holds_more_than_it_may_unless_one_item_does(monkeypatch: pytest.MonkeyPatch) -> None:
    training = random_histories(0, 200, 80)
    items, offsets = flat(training)
    matrix = user_item_matrix(np.repeat(np.arange(200), np.diff(offsets)), items, num_users=200, num_items=80)
    most = 300
    monkeypatch.setattr(item_knn, "_MOST_SIMILARITIES", most)
    by_item = matrix.T.tocsr()
    blocks = item_knn._blocks(matrix, by_item)
    assert [start for start, _ in blocks] == [0, *(end for _, end in blocks[:-1])]
    assert blocks[-1][1] == 80
    assert len(blocks) > 3
    sizes = [(by_item[start:end] @ matrix).nnz for start, end in blocks]
    assert max(sizes) <= most + 80


def test_an_item_alone_has_no_neighbours() -> None:
    assert not sparse_scores([[0], [1]], [[0], [1]], num_items=2, k=5).any()
