"""Histories, units and recency: by hand."""

import numpy as np
import pytest

from peftrec.errors import DataError, SettingsError
from peftrec.profiles.base import NO_ITEM, History, Interests, recency, unit_rows

HISTORY = History(items=np.array([3, 1, 3, 2]), days=np.array([0.5, 1.0, 1.0, 7.25]))


def test_between_takes_the_start_and_not_the_end() -> None:
    assert HISTORY.between(1.0, 7.25).items.tolist() == [1, 3]
    assert HISTORY.between(1.0, 7.25).known_days().tolist() == [1.0, 1.0]
    assert len(HISTORY.between(2.0, 7.0)) == 0
    assert HISTORY[-1:].items.tolist() == [2]


def test_recency_is_the_papers_formula() -> None:
    expected = [np.exp(-0.1 * (10 - day)) for day in (0.5, 1.0, 1.0, 7.25)]
    np.testing.assert_allclose(recency(HISTORY, now=10.0, decay=0.1), expected)
    assert recency(HISTORY, now=10.0, decay=0.0).tolist() == [1.0] * 4


def test_a_decay_needs_times_and_counting_does_not() -> None:
    orderly = History(items=HISTORY.items)
    assert recency(orderly, now=0.0, decay=0.0).tolist() == [1.0] * 4
    with pytest.raises(SettingsError, match=r"set profile\.decay=0"):
        recency(orderly, now=0.0, decay=0.01)
    with pytest.raises(DataError, match=r"data\.timestamp_column"):
        orderly.between(0.0, 1.0)
    with pytest.raises(ValueError, match="later than now"):
        recency(HISTORY, now=7.0, decay=0.01)


def test_units_keep_the_direction() -> None:
    rows = np.array([[3.0, 4.0], [0.0, -2.0]])
    np.testing.assert_allclose(unit_rows(rows), [[0.6, 0.8], [0.0, -1.0]])


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_row_without_direction_is_refused(value: float) -> None:
    rows = np.ones((3, 2))
    rows[1] = value
    with pytest.raises(DataError, match="1 of 3 embeddings are zero or not finite, the first in row 1"):
        unit_rows(rows)


def test_equal_importance_keeps_its_order() -> None:
    interests = Interests(
        vectors=np.eye(3), importance=np.array([1.0, 2.0, 1.0]), items=np.array([7, NO_ITEM, 5]), sizes=np.ones(3, int)
    )
    assert interests.by_importance().items.tolist() == [NO_ITEM, 7, 5]
