"""Popularity by hand, and chance at its expectation."""

import numpy as np
import pytest

from peftrec.evaluation.floors import popularity_floor, random_floor
from peftrec.evaluation.metrics import CUTOFFS, ranking_metrics
from peftrec.evaluation.ranking import HistoryMask


def floor(
    counts: list[int], targets: list[int], histories: list[list[int]], mask: HistoryMask, max_score_bytes: int = 2**20
) -> dict[str, float]:
    return popularity_floor(
        np.array(counts),
        np.array(targets, dtype=np.int32),
        np.array([item for history in histories for item in history], dtype=np.int32),
        np.cumsum([0, *map(len, histories)]).astype(np.int64),
        mask,
        max_score_bytes=max_score_bytes,
    )


COUNTS = [50, 40, 30, 30, 20, 10, 9, 8, 7, 0]
TARGETS, HISTORIES = [1, 2, 9, 0], [[0, 4], [0, 1, 1], [5], [0, 3]]


@pytest.mark.parametrize(
    ("mask", "ranks", "unreachable"),
    [
        # item 2 ties with item 3, which stands before it
        ("all", [1, 2, 9, 11], [False, False, False, True]),
        ("all_but_target", [1, 2, 9, 1], [False] * 4),
        ("none", [2, 4, 10, 1], [False] * 4),
    ],
)
def test_popularity_by_hand(mask: HistoryMask, ranks: list[int], unreachable: list[bool]) -> None:
    expected = ranking_metrics(np.array(ranks), np.array(unreachable))
    assert floor(COUNTS, TARGETS, HISTORIES, mask) == expected


@pytest.mark.parametrize("max_score_bytes", [1, 4 * 10 * 7, 2**20])
def test_popularity_does_not_depend_on_the_block(max_score_bytes: int) -> None:
    random = np.random.default_rng(0)
    histories = [random.integers(0, 10, random.integers(1, 6)).tolist() for _ in range(53)]
    targets = random.integers(0, 10, 53).tolist()
    whole = floor(COUNTS, targets, histories, "all", 2**30)
    assert floor(COUNTS, targets, histories, "all", max_score_bytes) == whole
    assert 0 < whole["hr@5"] < 1


@pytest.mark.parametrize("num_candidates", [40, 1000])
def test_chance_hits_k_of_n(num_candidates: int) -> None:
    users = 100_000
    metrics = random_floor(num_candidates, np.zeros(users, dtype=bool), seed=0)
    for k in CUTOFFS:
        p = k / num_candidates
        assert abs(metrics[f"hr@{k}"] - p) < 4 * np.sqrt(p * (1 - p) / users)
        places = np.arange(1, k + 1)
        assert metrics[f"ndcg@{k}"] == pytest.approx((1 / np.log2(places + 1)).sum() / num_candidates, rel=0.1)
        assert metrics[f"mrr@{k}"] == pytest.approx((1 / places).sum() / num_candidates, rel=0.15)


def test_chance_misses_what_is_unreachable_and_follows_its_seed() -> None:
    unreachable = np.arange(50_000) % 4 == 0
    metrics = random_floor(20, unreachable, seed=1)
    assert metrics["hr@20"] == 0.75
    assert metrics["hr@10"] == pytest.approx(0.375, abs=0.01)
    assert random_floor(20, unreachable, seed=1) == metrics
    assert random_floor(20, unreachable, seed=2) != metrics
