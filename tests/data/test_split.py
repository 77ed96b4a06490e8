"""The paper's cut: against a literal one on random histories, and by hand."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from peftrec.data.catalogue import Catalogue
from peftrec.data.interactions import Interactions
from peftrec.data.items import Items
from peftrec.data.readers.iisan import IisanFiles
from peftrec.data.split import RankingCases, Split, cut_windows, kept_histories, split_catalogue
from peftrec.errors import DataError

NUM_ITEMS = 60


def random_histories(seed: int, *, longest: int = 30) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [random.integers(0, NUM_ITEMS, random.integers(4, longest + 1)).tolist() for _ in range(25)]


def catalogue_of(histories: list[list[int]], num_items: int = NUM_ITEMS) -> Catalogue:
    items = Items(
        ids=tuple(f"id{item}" for item in range(num_items)),
        titles=tuple(f"title {item}" for item in range(num_items)),
        images=None,
    )
    users = [f"user{user}" for user in range(len(histories))]
    return Catalogue(items=items, interactions=Interactions.from_lists(users, histories), counts={"made": 1})


def split_of(histories: list[list[int]], *, sequence_length: int = 10, windows: str = "last") -> Split:
    source = IisanFiles(root="unread", sequence_length=sequence_length, windows=windows)
    return split_catalogue(catalogue_of(histories), source)


def lists(interactions: Interactions) -> list[list[int]]:
    return [history.tolist() for history in interactions]


@pytest.mark.parametrize("windows", ["last", "all"])
@pytest.mark.parametrize("sequence_length", [1, 4, 10])
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_a_literal_split(windows: str, sequence_length: int, seed: int) -> None:
    histories = random_histories(seed)
    split = split_of(histories, sequence_length=sequence_length, windows=windows)

    kept = [history[-(sequence_length + 3) :] if windows == "last" else history for history in histories]
    candidates = sorted({item for history in kept for item in history})
    kept = [[candidates.index(item) for item in history] for history in kept]
    assert split.items.ids == tuple(f"id{item}" for item in candidates)
    assert split.items.titles == tuple(f"title {item}" for item in candidates)
    assert lists(split.validation.histories) == [history[:-2] for history in kept]
    assert split.validation.targets.tolist() == [history[-2] for history in kept]
    assert lists(split.test.histories) == [history[:-1] for history in kept]
    assert split.test.targets.tolist() == [history[-1] for history in kept]
    counted = Counter(item for history in kept for item in history[:-2])
    assert split.train_counts.tolist() == [counted[item] for item in range(len(candidates))]
    assert split.num_interactions == sum(map(len, kept))
    assert split.test.histories.users == tuple(f"user{user}" for user in range(len(histories)))
    assert split.counts == {"made": 1}


def test_the_papers_cut_by_hand() -> None:
    long, short = list(range(20, 0, -1)), [30, 20, 30, 40, 50]
    split = split_of([long, short])
    # The last 13 of the long one are 13 ... 1; with the short one's four items that makes 17 candidates.
    assert split.items.ids == tuple(f"id{item}" for item in [*range(1, 14), 20, 30, 40, 50])
    assert lists(split.windows) == [[*range(12, 1, -1)], [14, 13, 14]]
    assert lists(split.validation.histories) == lists(split.windows)
    assert split.validation.targets.tolist() == [1, 15]
    assert lists(split.test.histories) == [[*range(12, 0, -1)], [14, 13, 14, 15]]
    assert split.test.targets.tolist() == [0, 16]
    assert split.train_counts.tolist() == [0, 0, *[1] * 12, 2, 0, 0]


@pytest.mark.parametrize("sequence_length", [1, 3, 10])
def test_under_last_each_user_has_one_window_that_is_its_training_part(sequence_length: int) -> None:
    split = split_of(random_histories(2), sequence_length=sequence_length)
    assert split.windows.users == split.test.histories.users
    assert lists(split.windows) == lists(split.validation.histories)
    assert np.diff(split.windows.offsets).max() <= sequence_length + 1


@pytest.mark.parametrize("sequence_length", [1, 2, 10, 40])
def test_all_windows_cover_each_transition_once(sequence_length: int) -> None:
    split = split_of(random_histories(3), sequence_length=sequence_length, windows="all")
    expected = Counter(
        (user, *pair)
        for user, history in zip(split.test.histories.users, lists(split.validation.histories), strict=True)
        for pair in itertools.pairwise(history)
    )
    found = Counter(
        (user, *pair)
        for user, window in zip(split.windows.users, lists(split.windows), strict=True)
        for pair in itertools.pairwise(window)
    )
    assert found == expected


@pytest.mark.parametrize("length", [2, 3, 7, 50])
def test_windows_are_cut_from_the_end_and_overlap_by_one_item(length: int) -> None:
    for history in random_histories(4):
        windows = lists(cut_windows(Interactions.from_lists(["one"], [history]), length))
        assert windows[0][-1] == history[-1]
        rebuilt = windows[-1]
        for newer in reversed(windows[:-1]):
            assert len(newer) == length, "only the oldest window may be shorter"
            assert newer[0] == rebuilt[-1]
            rebuilt = rebuilt + newer[1:]
        assert rebuilt == history
        assert 2 <= len(windows[-1]) <= length


@pytest.mark.parametrize("length", [2, 3, 5, 11])
@pytest.mark.parametrize("seed", range(5))
def test_windows_are_those_of_a_loop_over_users(length: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    histories = [random.integers(0, 9, random.integers(0, 25)).tolist() for _ in range(30)]
    windows, users = [], []
    for user, history in enumerate(histories):
        end = len(history)
        while end > 1:
            start = max(0, end - length)
            windows.append(history[start:end])
            users.append(f"u{user}")
            end = start + 1
    cut = cut_windows(Interactions.from_lists([f"u{user}" for user in range(30)], histories), length)
    assert lists(cut) == windows
    assert cut.users == tuple(users)


def test_without_a_history_nothing_is_cut_or_found() -> None:
    empty = Interactions.from_lists([], [])
    assert len(cut_windows(empty, 3)) == 0
    targets = np.array([1, 1, 1], dtype=np.int32)
    cases = RankingCases(histories=Interactions.from_lists(["a", "b", "c"], [[], [0, 1], []]), targets=targets)
    assert cases.is_target_in_history().tolist() == [False, True, False]


def test_under_all_the_mask_holds_the_whole_history_and_every_item_is_a_candidate() -> None:
    histories = random_histories(5)
    split = split_of(histories, sequence_length=3, windows="all")
    assert len(split.items) == len({item for history in histories for item in history})
    for kept, history in zip(lists(split.test.histories), histories, strict=True):
        assert [split.items.ids[item] for item in kept] == [f"id{item}" for item in history[:-1]]


def test_a_history_of_one_item_has_no_window() -> None:
    windows = cut_windows(Interactions.from_lists(["one", "two"], [[3], [3, 4]]), 11)
    assert windows.users == ("two",)
    assert lists(windows) == [[3, 4]]


def test_targets_in_the_history_are_found() -> None:
    histories = random_histories(6, longest=60)
    cases = split_of(histories, windows="all").test
    expected = [history[-1] in history[:-1] for history in histories]
    assert cases.is_target_in_history().tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_log_popularity_is_the_log_share_of_the_training_parts() -> None:
    split = split_of([[0, 0, 1, 2, 3, 4], [1, 0, 0, 5, 0]])
    assert split.train_counts.tolist() == [4, 2, 1, 0, 0, 0]
    expected = [np.log(4 / 7), np.log(2 / 7), np.log(1 / 7), 0, 0, 0]
    np.testing.assert_allclose(split.log_popularity(), expected, rtol=1e-6)
    assert split.log_popularity().dtype == np.float32


def test_without_users_there_is_no_split() -> None:
    with pytest.raises(DataError, match=r"no user is left.*data\.minimum_history"):
        split_of([])


@pytest.mark.parametrize("windows", ["last", "all"])
def test_kept_histories_are_those_of_the_split_with_their_times(windows: str) -> None:
    histories = random_histories(3)
    catalogue = catalogue_of(histories)
    times = np.arange(len(catalogue.interactions.items)) * 10
    timed = replace(catalogue, interactions=replace(catalogue.interactions, times=times))
    source = IisanFiles(root="unread", windows=windows)
    split, kept = split_catalogue(timed, source), kept_histories(timed, source)
    assert lists(kept) == [
        [*history, target]
        for history, target in zip(lists(split.test.histories), split.test.targets.tolist(), strict=True)
    ]
    assert kept.times is not None
    originals = timed.interactions
    for user, length in enumerate(kept.lengths.tolist()):
        own = kept.times[kept.offsets[user] : kept.offsets[user + 1]]
        end = originals.offsets[user + 1]
        assert own.tolist() == times[end - length : end].tolist()
    assert kept_histories(catalogue, source).times is None
