"""The k-core, against a literal definition."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from peftrec.data.interactions import Interactions
from peftrec.data.tables.core import in_core
from peftrec.data.tables.tables import HistoryTable
from peftrec.errors import DataError


def table_of(histories: list[list[int]]) -> HistoryTable:
    interactions = Interactions.from_lists([f"u{number}" for number in range(len(histories))], histories)
    times = np.arange(len(interactions.items))
    return HistoryTable(
        file=Path("log.csv"),
        interactions=Interactions(
            users=interactions.users, items=interactions.items, offsets=interactions.offsets, times=times
        ),
        lines=np.arange(len(histories)),
        lengths_in_file=interactions.lengths,
        counts={"before": 1},
    )


def literal_core(pairs: list[tuple[int, int]], core: int) -> list[tuple[int, int]]:
    while True:
        users, items = Counter(user for user, _ in pairs), Counter(item for _, item in pairs)
        kept = [(user, item) for user, item in pairs if users[user] >= core and items[item] >= core]
        if kept == pairs:
            return kept
        pairs = kept


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("core", [2, 3])
def test_it_is_the_largest_part_in_which_all_have_enough(seed: int, core: int) -> None:
    random = np.random.default_rng(seed)
    histories = [random.integers(0, 12, size=random.integers(0, 7)).tolist() for _ in range(14)]
    pairs = [(user, item) for user, history in enumerate(histories) for item in history]
    expected = literal_core(pairs, core)
    table = table_of(histories)
    if not expected:
        with pytest.raises(DataError, match=r"data\.core"):
            in_core(table, core)
        return
    found = in_core(table, core)
    users = np.asarray([int(name[1:]) for name in found.interactions.users])
    assert (
        list(zip(users[found.interactions.owners()].tolist(), found.interactions.items.tolist(), strict=True))
        == expected
    )
    assert found.counts == {
        "before": 1,
        "users_dropped_core": len(histories) - len({user for user, _ in expected}),
        "items_dropped_core": len({item for _, item in pairs}) - len({item for _, item in expected}),
        "interactions_dropped_core": len(pairs) - len(expected),
    }
    assert (found.lines == users).all()
    times = found.interactions.times
    assert times is not None
    assert [pairs[time] for time in times.tolist()] == expected
