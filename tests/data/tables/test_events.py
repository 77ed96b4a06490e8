"""The order of interactions: the quick sort and the general one agree, and first rows are found."""

import numpy as np
import pytest

from peftrec.data.interactions import Times
from peftrec.data.tables.columns import Encoded
from peftrec.data.tables.events import by_user_and_time, first_places, lines_of

EXTREMES = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max, 0, -1, 1, 1], dtype=np.int64)


@pytest.mark.parametrize(
    "times",
    [
        np.random.default_rng(0).integers(0, 9, 500),
        np.random.default_rng(1).integers(-(10**13), 10**13, 500),
        np.random.default_rng(2).integers(0, 9, 500) / 4,
        np.resize(EXTREMES, 500),
        np.resize(EXTREMES // 4, 500),
        np.full(500, np.iinfo(np.int64).max),
        np.full(500, np.iinfo(np.int64).min),
        np.zeros(500, dtype=np.int64),
    ],
    ids=["ties", "wide", "fractions", "extremes", "large", "last", "first", "equal"],
)
@pytest.mark.parametrize("num_users", [1, 7, 400])
def test_the_order_is_by_user_and_time_and_stable(times: Times, num_users: int) -> None:
    users = np.random.default_rng(3).integers(0, num_users, len(times)).astype(np.int32)
    expected = sorted(range(len(times)), key=lambda row: (users[row], times[row]))
    assert by_user_and_time(users, times).tolist() == expected


def test_nothing_has_an_order() -> None:
    empty = np.empty(0, dtype=np.int64)
    assert by_user_and_time(empty.astype(np.int32), empty).tolist() == []


def test_first_rows_and_their_lines() -> None:
    column = Encoded(names=["a", "b", "c"], codes=np.array([0, 0, 1, 0, 2, 1], dtype=np.int32))
    rows = first_places(column)
    assert rows.tolist() == [0, 2, 4]
    assert lines_of(range(2, 8), rows).tolist() == [2, 4, 6]
    assert lines_of([2, 5, 6, 8, 9, 11], rows).tolist() == [2, 6, 9]
