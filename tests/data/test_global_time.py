"""The global time split: against a literal one on random histories, by hand, and what it refuses."""

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from peftrec.data.catalogue import Catalogue
from peftrec.data.fingerprint import data_hash
from peftrec.data.global_time import starts_of_periods
from peftrec.data.interactions import Interactions, offsets_of
from peftrec.data.items import Items
from peftrec.data.readers.table import TableFiles
from peftrec.data.split import Split, split_catalogue
from peftrec.errors import DataError

NUM_ITEMS = 40
Events = list[tuple[int, int]]


def random_events(seed: int) -> list[Events]:
    """Return (time, item) of each user, oldest first, with ties."""
    random = np.random.default_rng(seed)
    return [
        sorted((int(time), int(item)) for time, item in random.integers(0, NUM_ITEMS, (random.integers(4, 30), 2)))
        for _ in range(40)
    ]


def source_of(**fields: Any) -> TableFiles:
    return TableFiles(root="unread", split="global_time", **fields)


def catalogue_of(users: list[Events]) -> Catalogue:
    interactions = Interactions(
        users=tuple(f"u{user}" for user in range(len(users))),
        items=np.array([item for events in users for _, item in events], dtype=np.int32),
        offsets=offsets_of(np.array([len(events) for events in users])),
        times=np.array([time for events in users for time, _ in events]),
    )
    items = Items(ids=tuple(f"i{item}" for item in range(NUM_ITEMS)), titles=None, images=None)
    return Catalogue(items=items, interactions=interactions, counts={"made": 1})


def split_of(users: list[Events], **fields: Any) -> Split:
    return split_catalogue(catalogue_of(users), source_of(**fields))


def named(split: Split, interactions: Interactions) -> dict[str, list[str]]:
    histories = ([split.items.ids[item] for item in history] for history in interactions)
    return dict(zip(interactions.users, histories, strict=True))


@pytest.mark.parametrize("windows", ["all", "last"])
@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_a_literal_split(windows: str, seed: int) -> None:
    users = random_events(seed)
    validation_from, test_from, length = 20, 30, 4
    split = split_of(
        users, windows=windows, sequence_length=length, validation_from=validation_from, test_from=test_from
    )

    training, histories, targets = {}, {"validation": {}, "test": {}}, {"validation": {}, "test": {}}
    candidates, kept = set(), 0
    for user, events in enumerate(users):
        before = [item for time, item in events if time < validation_from]
        if windows == "last":
            before = before[-(length + 1) :]
        between = [item for time, item in events if validation_from <= time < test_from]
        after = [item for time, item in events if time >= test_from]
        candidates |= {*before, *between, *after}
        kept += len(before) + len(between) + len(after)
        training[f"u{user}"] = [f"i{item}" for item in before]
        for name, history, period in (("validation", before, between), ("test", before + between, after)):
            if history and period:
                histories[name][f"u{user}"] = [f"i{item}" for item in history]
                targets[name][f"u{user}"] = f"i{period[0]}"

    assert split.items.ids == tuple(f"i{item}" for item in sorted(candidates))
    assert split.num_interactions == kept
    for name, cases in (("validation", split.validation), ("test", split.test)):
        assert named(split, cases.histories) == histories[name]
        found = [split.items.ids[target] for target in cases.targets]
        assert dict(zip(cases.histories.users, found, strict=True)) == targets[name]
        assert split.counts[f"users_ranked_in_{name}"] == len(targets[name])
    counted = Counter(item for history in training.values() for item in history)
    assert split.train_counts.tolist() == [counted[item] for item in split.items.ids]
    assert split.counts["users_in_training"] == sum(len(history) > 1 for history in training.values())
    assert split.counts["made"] == 1
    if windows == "last":
        assert named(split, split.windows) == {user: items for user, items in training.items() if len(items) > 1}
    transitions = sum(max(0, len(history) - 1) for history in training.values())
    assert len(split.windows.items) - len(split.windows) == transitions


def test_by_hand() -> None:
    split = split_of(
        [
            [(1, 0), (2, 1), (5, 2), (6, 3), (9, 4), (10, 5)],  # trains, is ranked twice; i5 comes after its target
            [(5, 6), (6, 7), (9, 8), (9, 9)],  # no history at validation, but one at test
            [(1, 0), (2, 2), (3, 1), (9, 3)],  # nothing in validation
            [(1, 0), (2, 2), (3, 1), (3, 4)],  # trains alone
            [(9, 10), (9, 11), (10, 12), (11, 13)],  # comes when all is over
        ],
        validation_from=5,
        test_from=9,
    )
    assert named(split, split.windows) == {"u0": ["i0", "i1"], "u2": ["i0", "i2", "i1"], "u3": ["i0", "i2", "i1", "i4"]}
    assert named(split, split.validation.histories) == {"u0": ["i0", "i1"]}
    assert split.items.ids[split.validation.targets[0]] == "i2"
    assert named(split, split.test.histories) == {
        "u0": ["i0", "i1", "i2", "i3"],
        "u1": ["i6", "i7"],
        "u2": ["i0", "i2", "i1"],
    }
    assert [split.items.ids[target] for target in split.test.targets] == ["i4", "i8", "i3"]
    assert split.items.ids == tuple(f"i{item}" for item in range(14)), "an item of after the targets is a candidate"
    assert split.counts == {
        "made": 1,
        "users_in_training": 3,
        "users_ranked_in_validation": 1,
        "users_without_history_in_validation": 1,
        "users_ranked_in_test": 3,
        "users_without_history_in_test": 1,
    }


@pytest.mark.parametrize(("validation_share", "test_share"), [(0.1, 0.1), (0.2, 0.3), (0.05, 0.5)])
def test_shares_hold_their_part_of_the_interactions(validation_share: float, test_share: float) -> None:
    times = np.random.default_rng(3).permutation(1000)
    validation, test = starts_of_periods(times, source_of(validation_share=validation_share, test_share=test_share))
    assert (times >= test).sum() == round(1000 * test_share)
    assert ((times >= validation) & (times < test)).sum() == round(1000 * validation_share)


def test_nothing_of_the_future_trains_and_no_later_time_changes_training() -> None:
    users = random_events(8)
    periods = {"validation_from": 20, "test_from": 30}
    whole = split_of(users, **periods)
    later = [[(time + 50 * (time >= 30), item) for time, item in events] for events in users]
    moved = split_of(later, **periods)
    assert data_hash(moved) == data_hash(whole), "how much later does not matter"
    swapped = [[(time, (item + 1) % NUM_ITEMS if time >= 30 else item) for time, item in events] for events in users]
    other = split_of(swapped, **periods)
    assert named(other, other.windows) == named(whole, whole.windows)
    assert data_hash(other) != data_hash(whole)


def test_the_two_rules_hash_apart() -> None:
    users = random_events(9)
    by_time = split_of(users)
    left_out = split_catalogue(catalogue_of(users), TableFiles(root="unread"))
    assert data_hash(by_time) != data_hash(left_out)
    assert len(left_out.test) == len(users) != len(by_time.test)
    earlier = split_of(users, test_share=0.2)
    assert data_hash(earlier) != data_hash(by_time)


def test_data_without_timestamps_is_refused() -> None:
    catalogue = catalogue_of(random_events(0))
    untimed = Interactions(
        users=catalogue.interactions.users,
        items=catalogue.interactions.items,
        offsets=catalogue.interactions.offsets,
    )
    with pytest.raises(DataError, match=r"data\.split=global_time needs timestamps.*data\.split=leave_one_out"):
        split_catalogue(Catalogue(items=catalogue.items, interactions=untimed), source_of())


@pytest.mark.parametrize(
    ("periods", "message"),
    [
        ((0, 5), "no user has two interactions before 0, where validation starts: "),
        ((50, 60), r"in the validation period \(from 50 to before 60\) and a history before it: "),
        ((20, 60), r"in the test period \(from 60\) and a history before it: "),
    ],
)
def test_empty_periods_are_refused(periods: tuple[int, int], message: str) -> None:
    remedy = "give data.validation_from and data.test_from in the unit of the timestamps, which go from 0 to 39$"
    with pytest.raises(DataError, match=message + remedy):
        split_of(random_events(1), validation_from=periods[0], test_from=periods[1])


@pytest.mark.parametrize("size", [1, 1000])
def test_a_wrong_unit_is_seen_from_the_days_of_the_timestamps(size: int) -> None:
    users = [[((1_500_000_000 + 86_400 * time) * size, item) for time, item in user] for user in random_events(1)]
    unit = "seconds" if size == 1 else "milliseconds"
    expected = (
        rf"which go from {1_500_000_000 * size} to \d+ \(2017-07-14 to 2017-08-22 if these are {unit} since 1970\)$"
    )
    other = 1000 // size
    with pytest.raises(DataError, match=expected):
        split_of(users, validation_from=1_502_000_000 * other, test_from=1_503_000_000 * other)


def test_shares_that_leave_a_period_empty_are_to_be_chosen_otherwise() -> None:
    expected = r"choose other data\.validation_share and data\.test_share, or give .*; the timestamps go from 0 to 39$"
    with pytest.raises(DataError, match=f"no user has two interactions before 0, .*: {expected}"):
        split_of(random_events(1), validation_share=0.5, test_share=0.4999)


@pytest.mark.parametrize("date", ["2017-07-14", "2017-07-14T00:00:00+00:00"])
def test_a_date_is_refused_with_its_number(date: str) -> None:
    with pytest.raises(ValueError, match=rf"the timestamps, not the date {re.escape(date)}: .* it is 1499990400 "):
        source_of(validation_from=date, test_from=1_500_000_000)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"validation_from": 3}, "give both validation_from and test_from"),
        ({"test_from": 3.5}, "give both validation_from and test_from"),
        ({"validation_from": 5, "test_from": 5}, "validation_from must be before test_from"),
        ({"validation_share": 0.6, "test_share": 0.4}, "leave nothing to train on"),
        ({"split": "leave_one_out", "validation_from": 1, "test_from": 2}, "need split=global_time"),
    ],
)
def test_settings_that_contradict_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TableFiles(**{"root": "unread", "split": "global_time", **fields})


def test_a_split_says_when_its_periods_start() -> None:
    split = split_of(random_events(0), validation_from=20, test_from=30)
    assert split.periods is not None
    assert (split.periods.validation_from, split.periods.test_from) == (20, 30)
