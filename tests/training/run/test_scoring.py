"""What the baselines learn from: the training windows, in which long histories overlap, and nothing after them."""

from pathlib import Path

import numpy as np
import pytest

from peftrec.data.catalogue import Catalogue
from peftrec.data.interactions import Interactions
from peftrec.data.items import Items
from peftrec.data.readers.iisan import IisanFiles
from peftrec.data.split import Split, split_catalogue
from peftrec.evaluation.metrics import ranking_metrics
from peftrec.settings.run import EvaluationSettings
from peftrec.training.run.scoring import UserRanks, baselines_of, training_matrix

NUM_ITEMS = 18


def split_of(windows: str, *, num_users: int = 30) -> Split:
    random = np.random.default_rng(0)
    histories = [random.integers(0, NUM_ITEMS, random.integers(5, 40)).tolist() for _ in range(num_users)]
    ids = tuple(map(str, range(NUM_ITEMS)))
    catalogue = Catalogue(
        items=Items(ids=ids, titles=ids, images=None),
        interactions=Interactions.from_lists([f"user{user}" for user in range(num_users)], histories),
        counts={},
    )
    return split_catalogue(catalogue, IisanFiles(root="unread", sequence_length=4, windows=windows))


@pytest.mark.parametrize("windows", ["last", "all"])
@pytest.mark.parametrize("num_users", [30, 1])
def test_a_users_windows_are_one_row_and_held_out_items_are_in_none(windows: str, num_users: int) -> None:
    split = split_of(windows, num_users=num_users)
    matrix = training_matrix(split).toarray()
    expected = np.zeros((num_users, len(split.items)))
    for user, history in enumerate(split.validation.histories):  # under leave-one-out, what trains
        expected[user, history] = 1
    np.testing.assert_array_equal(matrix[:num_users], expected)
    assert not matrix[num_users:].any()


def test_the_baselines_are_those_of_the_test_users(tmp_path: Path) -> None:
    split = split_of("all")
    nobody = np.zeros(len(split.test), dtype=np.bool_)
    ranked = UserRanks(ranks=np.ones(len(split.test), dtype=np.int64), is_unreachable=nobody)
    baselines = baselines_of(split, EvaluationSettings(mask_history="none"), ranked, seed=1)
    assert set(baselines) == {"popularity", "item_knn", "random"}
    counts, targets = split.train_counts, split.test.targets
    ranks = np.array([np.count_nonzero(counts >= counts[target]) for target in targets])
    assert baselines["popularity"] == ranking_metrics(ranks, nobody)
    taken = training_matrix(split).toarray()
    together = taken.T @ taken
    np.fill_diagonal(together, 0)
    sizes = np.maximum(taken.sum(axis=0), 1)
    similar = together / np.sqrt(np.outer(sizes, sizes))  # fewer items than neighbours kept
    scores = np.array([similar[np.unique(history)].sum(axis=0) for history in split.test.histories], dtype=np.float32)
    ranks = (scores >= scores[np.arange(len(targets)), targets][:, None]).sum(axis=1)
    assert baselines["item_knn"] == ranking_metrics(ranks, nobody)
