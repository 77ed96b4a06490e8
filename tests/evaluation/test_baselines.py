"""Popularity and item-kNN by hand, and chance at its expectation."""

from dataclasses import replace

import numpy as np
import pytest

from peftrec.evaluation.baselines import BaselineCases, item_knn_baseline, popularity_baseline, random_baseline
from peftrec.evaluation.item_knn import user_item_matrix
from peftrec.evaluation.metrics import CUTOFFS, ranking_metrics
from peftrec.evaluation.ranking import HistoryMask

COUNTS = np.array([50, 40, 30, 30, 20, 10, 9, 8, 7, 0])
TARGETS, HISTORIES = [1, 2, 9, 0], [[0, 4], [0, 1, 1], [5], [0, 3]]


def cases(
    targets: list[int], histories: list[list[int]], mask: HistoryMask = "all", max_score_bytes: int = 2**20
) -> BaselineCases:
    return BaselineCases(
        targets=np.array(targets, dtype=np.int32),
        history_items=np.array([item for history in histories for item in history], dtype=np.int32),
        history_offsets=np.cumsum([0, *map(len, histories)]).astype(np.int64),
        num_candidates=len(COUNTS),
        mask_history=mask,
        max_score_bytes=max_score_bytes,
    )


def many_cases() -> BaselineCases:
    random = np.random.default_rng(0)
    histories = [random.integers(0, 10, random.integers(1, 6)).tolist() for _ in range(53)]
    return cases(random.integers(0, 10, 53).tolist(), histories)


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
    assert popularity_baseline(COUNTS, cases(TARGETS, HISTORIES, mask)) == expected


# Users took 0 with 1 twice, 0 with 2, and 3 with 4: 0 is near 1 (2 / sqrt 6) and 2 (1 / sqrt 3), 3 is near 4 (1).
TAKEN = user_item_matrix(
    np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([0, 1, 0, 1, 0, 2, 3, 4]), num_users=4, num_items=len(COUNTS)
)


@pytest.mark.parametrize(
    ("mask", "ranks", "unreachable"),
    [
        # 4 (similarity 1) stands before 1; item 9 was never taken and ties with all that score 0; the last history
        # holds its target, which scores 0.82 behind 4
        ("all", [2, 2, 9, 11], [False, False, False, True]),
        ("all_but_target", [2, 2, 9, 2], [False] * 4),
        # without a mask nothing changes for the first two: what their histories hold scores less
        ("none", [2, 2, 10, 3], [False] * 4),
    ],
)
def test_item_knn_by_hand(mask: HistoryMask, ranks: list[int], unreachable: list[bool]) -> None:
    targets, histories = [1, 2, 9, 0], [[0, 3], [0], [5], [1, 0, 3]]
    expected = ranking_metrics(np.array(ranks), np.array(unreachable))
    assert item_knn_baseline(TAKEN, cases(targets, histories, mask)) == expected


@pytest.mark.parametrize("max_score_bytes", [1, 4 * 10 * 7, 2**20])
def test_baselines_do_not_depend_on_the_block(max_score_bytes: int) -> None:
    whole = replace(many_cases(), max_score_bytes=2**30)
    blocks = replace(whole, max_score_bytes=max_score_bytes)
    assert popularity_baseline(COUNTS, blocks) == popularity_baseline(COUNTS, whole)
    assert item_knn_baseline(TAKEN, blocks) == item_knn_baseline(TAKEN, whole)
    assert 0 < popularity_baseline(COUNTS, whole)["hr@5"] < 1


@pytest.mark.parametrize("num_candidates", [40, 1000])
def test_chance_hits_k_of_n(num_candidates: int) -> None:
    users = 100_000
    metrics = random_baseline(num_candidates, np.zeros(users, dtype=bool), seed=0)
    for k in CUTOFFS:
        p = k / num_candidates
        assert abs(metrics[f"hr@{k}"] - p) < 4 * np.sqrt(p * (1 - p) / users)
        places = np.arange(1, k + 1)
        assert metrics[f"ndcg@{k}"] == pytest.approx((1 / np.log2(places + 1)).sum() / num_candidates, rel=0.1)
        assert metrics[f"mrr@{k}"] == pytest.approx((1 / places).sum() / num_candidates, rel=0.15)


def test_chance_misses_what_is_unreachable_and_follows_its_seed() -> None:
    unreachable = np.arange(50_000) % 4 == 0
    metrics = random_baseline(20, unreachable, seed=1)
    assert metrics["hr@20"] == 0.75
    assert metrics["hr@10"] == pytest.approx(0.375, abs=0.01)
    assert random_baseline(20, unreachable, seed=1) == metrics
    assert random_baseline(20, unreachable, seed=2) != metrics
