"""Recall, precision and NDCG against plain loops, and what happens at ties."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from peftrec.cold_start.evaluation import CUTOFFS, evaluate, per_user, selection_score
from peftrec.errors import DataError
from peftrec.evaluation.ranking import NonFiniteScoresError
from small_pairs import pairs_of


class Table:
    """Scores of all users and items."""

    def __init__(self, matrix: npt.NDArray[np.float32]) -> None:
        self.matrix = torch.from_numpy(matrix)

    def scores(self, users: Tensor, items: Tensor) -> Tensor:
        return self.matrix[users][:, items]


def literal(scores: npt.NDArray[np.float32], right: set[int], cutoff: int) -> tuple[float, float, float]:
    """One user's metrics, by the definition."""
    order = sorted(range(len(scores)), key=lambda item: -scores[item])
    hits = [item in right for item in order[:cutoff]]
    gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(len(right), cutoff)))
    return sum(hits) / len(right), sum(hits) / cutoff, gain / ideal


@pytest.mark.parametrize("num_items", [150, 60])
def test_equals_plain_loops(num_items: int) -> None:
    draws = np.random.default_rng(0)
    matrix = draws.normal(size=(30, num_items)).astype(np.float32)
    candidates = np.sort(draws.choice(num_items, size=num_items - 10, replace=False))
    rows = [(user, int(item)) for user in range(3, 30) for item in draws.choice(num_items, size=user, replace=False)]
    measured = evaluate(Table(matrix), pairs_of(rows), candidates)
    place = {item: column for column, item in enumerate(candidates.tolist())}
    found: dict[str, list[float]] = {}
    for user in range(3, 30):
        right = {place[item] for owner, item in rows if owner == user and item in place}
        if right:
            for cutoff in CUTOFFS:
                values = literal(matrix[user, candidates], right, cutoff)
                for name, value in zip(("recall", "precision", "ndcg"), values, strict=True):
                    found.setdefault(f"{name}@{cutoff}", []).append(value)
    assert measured["num_users"] == len(found["recall@20"])
    for name, values in found.items():
        assert measured[name] == pytest.approx(np.mean(values), abs=1e-12), name


def test_ties_count_against_the_right_item() -> None:
    is_right = torch.zeros(1, 25, dtype=torch.bool)
    is_right[0, 0] = True
    assert per_user(torch.ones(1, 25), is_right)["recall@20"].item() == 0.0
    ahead_of_five = torch.ones(1, 25)
    ahead_of_five[0, 20:] = 0.5
    assert per_user(ahead_of_five, is_right)["ndcg@20"].item() == pytest.approx(1 / math.log2(21))


def test_neighbouring_scores_are_no_tie() -> None:
    scores = torch.ones(1, 25)
    scores[0, 0] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    is_right = torch.zeros(1, 25, dtype=torch.bool)
    is_right[0, 0] = True
    assert per_user(scores, is_right)["ndcg@20"].item() == 1.0


def test_a_user_whose_items_are_no_candidates_is_left_out() -> None:
    measured = evaluate(Table(np.eye(3, dtype=np.float32)), pairs_of([(0, 0), (1, 2)]), np.asarray([0, 1]))
    assert measured["num_users"] == 1.0
    assert measured["recall@20"] == 1.0


def test_nobody_to_rank_for_is_an_error() -> None:
    with pytest.raises(DataError, match=r"see pairs\.candidates"):
        evaluate(Table(np.eye(3, dtype=np.float32)), pairs_of([(1, 2)]), np.asarray([0, 1]))


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(1)
    matrix = draws.normal(size=(40, 130)).astype(np.float32)
    pairs = pairs_of([(user, int(item)) for user in range(40) for item in draws.integers(0, 130, size=5)])
    whole = evaluate(Table(matrix), pairs, np.arange(130))
    monkeypatch.setattr("peftrec.cold_start.evaluation.MAX_SCORE_BYTES", 4 * 130 * 7)
    assert evaluate(Table(matrix), pairs, np.arange(130)) == pytest.approx(whole, abs=1e-12)


def test_a_score_that_is_not_finite_fails() -> None:
    with pytest.raises(NonFiniteScoresError, match=r"lower training\.learning_rate"):
        per_user(torch.tensor([[1.0, torch.nan]]), torch.tensor([[True, False]]))


def test_epochs_are_chosen_by_the_sum_of_recalls() -> None:
    assert selection_score({"recall@20": 0.1, "recall@50": 0.2, "recall@100": 0.4, "ndcg@20": 9.0}) == pytest.approx(
        0.7
    )
