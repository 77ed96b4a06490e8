"""Segments part the users, and their metrics are those of the users in them."""

import numpy as np
import pytest

from peftrec.evaluation.metrics import ranking_metrics
from peftrec.evaluation.segments import segment_masks, segment_metrics


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    train_counts = random.zipf(1.6, 80).clip(max=500) * (random.random(80) > 0.2)
    return train_counts, random.integers(0, 80, 400).astype(np.int32), random.integers(0, 90, 400)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_segments_part_the_users(seed: int) -> None:
    counts, targets, lengths = draw(seed)
    masks = segment_masks(counts, targets, lengths)
    assert (masks["cold"] ^ masks["warm"]).all()
    np.testing.assert_array_equal(masks["head"] ^ masks["tail"], masks["warm"])
    assert not (masks["head"] & masks["tail"]).any()
    histories = [mask for name, mask in masks.items() if name.startswith("history_")]
    np.testing.assert_array_equal(np.sum(histories, axis=0), np.ones(400))
    for name in ("cold", "warm", "head", "tail"):
        assert masks[name].any(), name


def test_a_table_by_hand() -> None:
    counts = np.array([9, 7, 5, 4, 3, 3, 2, 2, 1, 1, 0, 0])  # ten trained items: the head is two of them
    targets = np.arange(12)
    lengths = np.array([0, 4, 5, 9, 10, 19, 20, 49, 50, 51, 1000, 1])
    masks = segment_masks(counts, targets, lengths)
    members = {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()}
    assert members == {
        "warm": list(range(10)),
        "cold": [10, 11],
        "head": [0, 1],
        "tail": list(range(2, 10)),
        "history_0_to_4": [0, 1, 11],
        "history_5_to_9": [2, 3],
        "history_10_to_19": [4, 5],
        "history_20_to_49": [6, 7],
        "history_50_or_more": [8, 9, 10],
    }


def test_items_as_popular_as_the_last_of_the_head_are_head() -> None:
    masks = segment_masks(np.array([5, 3, 3, 3, 1]), np.arange(5), np.zeros(5, dtype=np.int64))
    assert np.flatnonzero(masks["head"]).tolist() == [0]
    masks = segment_masks(np.array([3, 3, 3, 3, 1]), np.arange(5), np.zeros(5, dtype=np.int64))
    assert np.flatnonzero(masks["head"]).tolist() == [0, 1, 2, 3]


def test_a_segments_metrics_are_those_of_its_users_and_weigh_up_to_the_whole() -> None:
    counts, targets, lengths = draw(3)
    random = np.random.default_rng(0)
    ranks, unreachable = random.integers(1, 30, 400), random.random(400) < 0.1
    masks = segment_masks(counts, targets, lengths)
    found = segment_metrics(ranks, unreachable, masks)
    for name, metrics in found.items():
        chosen = masks[name]
        assert metrics == {**ranking_metrics(ranks[chosen], unreachable[chosen]), "num_users": chosen.sum()}
    whole = ranking_metrics(ranks, unreachable)
    for metric, value in whole.items():
        parts = sum(found[name][metric] * found[name]["num_users"] for name in ("cold", "head", "tail"))
        assert parts / 400 == pytest.approx(value)


def test_a_segment_without_users_is_left_out() -> None:
    masks = segment_masks(np.array([2, 1]), np.array([0, 1]), np.array([3, 7]))
    found = segment_metrics(np.array([1, 2]), np.array([False, False]), masks)
    assert "cold" not in found
    assert set(found) == {"warm", "head", "tail", "history_0_to_4", "history_5_to_9"}
