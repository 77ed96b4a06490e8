"""Pieces of flat histories are what the same pieces of lists are."""

import numpy as np
import pytest

from peftrec.data.interactions import Interactions, offsets_of


def made(seed: int) -> tuple[Interactions, list[list[int]]]:
    """Return random histories, some of them empty, with times that count up from 100 over all of them."""
    random = np.random.default_rng(seed)
    lists = [random.integers(0, 9, random.integers(0, 6)).tolist() for _ in range(12)]
    packed = Interactions.from_lists([f"u{user}" for user in range(12)], lists)
    times = np.arange(100, 100 + len(packed.items))
    return Interactions(users=packed.users, items=packed.items, offsets=packed.offsets, times=times), lists


def lists_of(interactions: Interactions) -> list[list[int]]:
    return [history.tolist() for history in interactions]


@pytest.mark.parametrize("seed", range(5))
def test_pieces_are_those_of_lists(seed: int) -> None:
    interactions, lists = made(seed)
    assert lists_of(interactions) == lists
    assert interactions.lengths.tolist() == [len(history) for history in lists]
    assert interactions.owners().tolist() == [user for user, history in enumerate(lists) for _ in history]
    assert interactions.occurring().tolist() == sorted({item for history in lists for item in history})

    odd = interactions.where(interactions.items % 2 == 1)
    assert lists_of(odd) == [[item for item in history if item % 2] for history in lists]
    assert odd.users == interactions.users

    is_kept = interactions.lengths > 2
    long = interactions.of_users(is_kept)
    assert lists_of(long) == [history for history in lists if len(history) > 2]
    assert long.users == tuple(f"u{user}" for user, history in enumerate(lists) if len(history) > 2)

    last = interactions.cut(
        np.maximum(interactions.offsets[:-1], interactions.offsets[1:] - 2), interactions.offsets[1:]
    )
    assert lists_of(last) == [history[-2:] for history in lists]


@pytest.mark.parametrize("seed", range(3))
def test_times_stay_beside_their_items(seed: int) -> None:
    interactions, _ = made(seed)
    item_at = dict(zip(interactions.times.tolist(), interactions.items.tolist(), strict=True))
    odd = interactions.items % 2 == 1
    for part in (interactions.where(odd), interactions.of_users(interactions.lengths > 2)):
        assert len(part.times) == len(part.items)
        assert [item_at[time] for time in part.times.tolist()] == part.items.tolist()


def test_pieces_may_overlap_and_belong_to_anyone() -> None:
    interactions = Interactions.from_lists(["a"], [[5, 6, 7]])
    pieces = interactions.cut(np.array([1, 0, 2]), np.array([3, 2, 2]), users=("x", "y", "z"))
    assert lists_of(pieces) == [[6, 7], [5, 6], []]
    assert pieces.users == ("x", "y", "z")
    assert pieces.times is None


def test_offsets() -> None:
    assert offsets_of(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]
    assert offsets_of(np.array([True, False, True])).tolist() == [0, 1, 1, 2]
    assert offsets_of(np.array([], dtype=np.int64)).tolist() == [0]
