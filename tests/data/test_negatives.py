"""Negatives a position against a count in loops."""

import numpy as np
import pytest

from peftrec.data.interactions import Interactions
from peftrec.data.loading import EpochOrder
from peftrec.data.negatives import negatives_per_positive

LENGTH = 6


def windows_of(number: int) -> Interactions:
    random = np.random.default_rng(0)
    drawn = [random.integers(0, 15, random.integers(2, 9)).tolist() for _ in range(number)]
    return Interactions.from_lists([str(user) for user in range(number)], drawn)


def literal(windows: Interactions, order: EpochOrder, num_pools: int) -> float:
    counts = []
    for rows in order:
        for users in np.array_split(rows, num_pools):
            kept = [windows[user][-LENGTH:].tolist() for user in users]
            pool = {item for window in kept for item in window}
            counts += [len(pool - set(window)) for window in kept for _ in window[:-1]]
    return sum(counts) / len(counts)


@pytest.mark.parametrize("num_pools", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [2, 7, 64])
def test_agrees_with_a_literal_count(num_pools: int, batch_size: int) -> None:
    windows = windows_of(45)
    order = EpochOrder(45, batch_size=batch_size, seed=3)
    expected = literal(windows, order, num_pools)
    order.set_epoch(5)
    assert negatives_per_positive(windows, order, length=LENGTH, num_pools=num_pools) == pytest.approx(expected)


def test_by_hand() -> None:
    windows = Interactions.from_lists(["a", "b"], [[1, 2, 1], [2, 3]])
    order = EpochOrder(2, batch_size=2, seed=0)
    assert negatives_per_positive(windows, order, length=3) == pytest.approx((1 + 1 + 1) / 3)
    assert negatives_per_positive(windows, order, length=3, num_pools=2) == 0.0
