"""Metrics against ten lines of plain Python and a table by hand; users that arrive twice count once."""

import math

import numpy as np
import pytest
import torch

from peftrec.evaluation.metrics import CUTOFFS, RankCollector, ranking_metrics


def literal(ranks: list[int], unreachable: list[bool], k: int) -> dict[str, float]:
    hits = ndcg = mrr = 0.0
    for rank, is_unreachable in zip(ranks, unreachable, strict=True):
        if rank <= k and not is_unreachable:
            hits += 1
            ndcg += 1 / math.log2(rank + 1)
            mrr += 1 / rank
    number = len(ranks)
    return {f"hr@{k}": hits / number, f"ndcg@{k}": ndcg / number, f"mrr@{k}": mrr / number}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_a_literal_version(seed: int) -> None:
    random = np.random.default_rng(seed)
    ranks = random.integers(1, 40, 300)
    unreachable = random.random(300) < 0.1
    expected = {
        name: value for k in CUTOFFS for name, value in literal(ranks.tolist(), unreachable.tolist(), k).items()
    }
    found = ranking_metrics(ranks, unreachable)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_table_by_hand() -> None:
    ranks = np.array([1, 3, 5, 6, 10, 11, 20, 21])
    metrics = ranking_metrics(ranks, np.zeros(8, dtype=bool))
    assert (metrics["hr@5"], metrics["hr@10"], metrics["hr@20"]) == (3 / 8, 5 / 8, 7 / 8)
    assert metrics["ndcg@5"] == pytest.approx((1 + 1 / 2 + 1 / math.log2(6)) / 8)
    assert metrics["mrr@10"] == pytest.approx((1 + 1 / 3 + 1 / 5 + 1 / 6 + 1 / 10) / 8)


def test_an_unreachable_target_is_a_miss_whatever_its_rank() -> None:
    metrics = ranking_metrics(np.array([1, 1]), np.array([True, False]))
    assert set(metrics.values()) == {0.5}
    assert set(ranking_metrics(np.array([1]), np.array([True])).values()) == {0.0}


def test_metrics_are_fractions_that_grow_with_the_cutoff() -> None:
    ranks = np.random.default_rng(0).integers(1, 30, 200)
    metrics = ranking_metrics(ranks, np.zeros(200, dtype=bool))
    for name in ("hr", "ndcg", "mrr"):
        values = [metrics[f"{name}@{k}"] for k in CUTOFFS]
        assert values == sorted(values)
        assert 0 < values[0] < values[-1] < 1
    assert all(metrics[f"mrr@{k}"] <= metrics[f"ndcg@{k}"] <= metrics[f"hr@{k}"] for k in CUTOFFS)


def test_the_collector_orders_users_and_drops_duplicates() -> None:
    collector = RankCollector()
    collector.update(torch.tensor([4, 0]), torch.tensor([40, 10]), torch.tensor([True, False]))
    collector.update(torch.tensor([2, 4, 1]), torch.tensor([30, 99, 20]), torch.tensor([False, False, True]))
    ranks, unreachable = collector.compute()
    assert ranks.tolist() == [10, 20, 30, 40]
    assert unreachable.tolist() == [False, True, False, True]


@pytest.mark.parametrize("block", [1, 3, 50])
def test_blocks_in_order_come_back_as_they_were(block: int) -> None:
    ranks = torch.from_numpy(np.random.default_rng(0).integers(1, 9, 50))
    collector = RankCollector()
    for start in range(0, 50, block):
        part = slice(start, start + block)
        collector.update(torch.arange(50)[part], ranks[part], ranks[part] > 6)
    found, unreachable = collector.compute()
    assert torch.equal(found, ranks)
    assert torch.equal(unreachable, ranks > 6)


def test_a_reset_collector_forgets() -> None:
    collector = RankCollector()
    collector.update(torch.tensor([0, 1]), torch.tensor([5, 6]), torch.tensor([False, False]))
    collector.compute()
    collector.reset()
    collector.update(torch.tensor([3, 1]), torch.tensor([8, 7]), torch.tensor([False, True]))
    ranks, unreachable = collector.compute()
    assert (ranks.tolist(), unreachable.tolist()) == ([7, 8], [True, False])


def test_one_user_alone_is_still_a_row() -> None:
    """torchmetrics squeezes what it returns."""
    collector = RankCollector()
    collector.update(torch.tensor([4]), torch.tensor([5]), torch.tensor([True]))
    ranks, unreachable = collector.take()
    assert (ranks.tolist(), unreachable.tolist()) == ([5], [True])


def test_taking_forgets() -> None:
    collector = RankCollector()
    collector.update(torch.tensor([1, 0]), torch.tensor([5, 6]), torch.tensor([True, False]))
    ranks, unreachable = collector.take()
    assert (ranks.tolist(), unreachable.tolist()) == ([6, 5], [False, True])
    assert collector.users == []
