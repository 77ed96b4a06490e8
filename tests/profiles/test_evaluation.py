"""The walk forward on histories that can be checked by hand, and against a literal one."""

import numpy as np
import pytest

from peftrec.errors import DataError
from peftrec.profiles.base import History, unit_rows
from peftrec.profiles.evaluation import Protocol, candidates_of, evaluate, num_relevant, predictions_of
from peftrec.profiles.last_item import LastItem
from peftrec.profiles.neighbours import ExactIndex
from peftrec.profiles.pinnersage import PinnerSage
from small_profiles import NUM_ITEMS, small_catalogue

ANGLES = np.deg2rad([0.0, 10.0, 20.0, 90.0, 100.0, 180.0])
CIRCLE = unit_rows(np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1))
WALK = History(items=np.array([0, 3, 1, 5]), days=np.array([0.2, 0.9, 1.5, 4.1]))


def test_a_day_is_predicted_from_what_came_before_it() -> None:
    first, second = predictions_of(WALK, Protocol())
    assert (first.day, first.history.items.tolist(), first.targets.tolist()) == (1.0, [0, 3], [1])
    assert (second.day, second.history.items.tolist(), second.targets.tolist()) == (4.0, [0, 3, 1], [5])


def test_days_may_start_late_and_histories_be_short() -> None:
    assert [each.day for each in predictions_of(WALK, Protocol(first_day=2.0))] == [4.0]
    (only,) = predictions_of(WALK, Protocol(past_days=2.0))
    assert (only.day, only.history.items.tolist()) == (1.0, [0, 3])
    assert list(predictions_of(WALK[:2], Protocol())) == []


def test_relevance_and_recall_by_hand() -> None:
    """Day 1: the last item is 3, at 90 degrees; its nearest unseen ones are 4 and then 2. Item 1, at 10 degrees, is
    neither, and 10 degrees from item 2. Day 4: the last item is 1; 2 and 4 are nearest; 5 is 80 degrees from 4."""
    outcome = evaluate(LastItem(), [WALK], CIRCLE, ExactIndex(CIRCLE), Protocol(budget=2, threshold=0.9), seed=0)
    assert outcome.relevance.tolist() == [[0.5]]
    assert outcome.recall.tolist() == [[0.0]]
    assert (outcome.num_users, outcome.num_days, outcome.num_targets) == (1, 2, 2)
    assert (outcome.mean_interests, outcome.mean_queries, outcome.mean_candidates) == (1.0, 1.0, 2.0)
    narrow = evaluate(LastItem(), [WALK], CIRCLE, ExactIndex(CIRCLE), Protocol(budget=1, threshold=0.9), seed=0)
    assert narrow.relevance.tolist() == [[0.0]]
    seen = Protocol(budget=6, threshold=0.9)
    assert evaluate(LastItem(), [WALK], CIRCLE, ExactIndex(CIRCLE), seen, seed=0).recall.tolist() == [[1.0]]


def test_each_user_counts_once_and_who_has_one_day_not_at_all() -> None:
    busy = History(items=np.array([3, 4, 4, 4, 4]), days=np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    single = History(items=np.array([0, 1]), days=np.array([0.1, 0.2]))
    protocol = Protocol(budget=1, excludes_seen=False)
    outcome = evaluate(LastItem(), [busy, single, WALK], CIRCLE, ExactIndex(CIRCLE), protocol, seed=0)
    # From item 4 on, the nearest of what may be seen again is item 4 itself.
    assert outcome.recall[:, 0].tolist() == [0.75, 0.0]
    assert (outcome.num_users, outcome.num_users_left_out) == (2, 1)


def test_candidates_are_shared_out_and_not_counted_twice() -> None:
    catalogue = small_catalogue()
    history = History(items=np.arange(20), days=np.zeros(20))
    profile = PinnerSage(alpha=0.5, selection="top")
    served = profile.serve(profile.interests(history, catalogue, now=0.0), np.random.default_rng(0))
    assert len(served) == 3
    candidates = candidates_of(served, history, ExactIndex(catalogue), Protocol(budget=16))
    expected: set[int] = set()
    for vector in served.vectors:
        order = np.argsort(-(catalogue[20:] @ vector), kind="stable")[: 16 // 3]
        expected |= set((20 + order).tolist())
    assert set(candidates.tolist()) == expected
    assert num_relevant(np.array([30, 31]), candidates[:0], catalogue, 0.8) == 0


@pytest.mark.parametrize("threshold", [0.3, 0.8])
def test_agrees_with_a_literal_evaluation(threshold: float) -> None:
    random, catalogue = np.random.default_rng(0), small_catalogue()
    histories = [
        History(items=random.permutation(NUM_ITEMS)[:12], days=np.sort(random.integers(0, 5, 12)).astype(np.float64))
        for _ in range(8)
    ]
    protocol = Protocol(budget=9, threshold=threshold)
    profile = PinnerSage(alpha=1.0, selection="top", num_served=2)
    outcome = evaluate(profile, histories, catalogue, ExactIndex(catalogue), protocol, seed=0)
    relevance, recall = [], []
    for history in histories:
        items, days = history.items.tolist(), history.known_days().tolist()
        hits, similar, number = 0, 0, 0
        for place, (item, day) in enumerate(zip(items, days, strict=True)):
            start = days.index(day)
            if start == 0:
                continue
            past = History(items=history.items[:start], days=history.known_days()[:start])
            queries = profile.interests(past, catalogue, now=day).vectors[:2]
            found: set[int] = set()
            for query in queries:
                left = [other for other in range(NUM_ITEMS) if other not in items[:start]]
                found |= set(sorted(left, key=lambda row: -float(query @ catalogue[row]))[: 9 // len(queries)])
            hits += item in found
            similar += any(catalogue[item] @ catalogue[other] >= threshold for other in found)
            number += 1
            assert items[place] == item
        relevance.append(similar / number)
        recall.append(hits / number)
    np.testing.assert_allclose(outcome.relevance[:, 0], relevance)
    np.testing.assert_allclose(outcome.recall[:, 0], recall)


def test_what_is_drawn_is_evaluated_several_times_and_repeats_with_the_seed() -> None:
    random, catalogue = np.random.default_rng(0), small_catalogue()
    histories = [History(items=random.permutation(NUM_ITEMS)[:30], days=np.arange(30.0) // 6) for _ in range(6)]
    profile, protocol = PinnerSage(alpha=0.3, num_served=1), Protocol(budget=6, num_draws=4)
    first, again, other = (
        evaluate(profile, histories, catalogue, ExactIndex(catalogue), protocol, seed=seed) for seed in (1, 1, 2)
    )
    assert first.recall.shape == (6, 4)
    np.testing.assert_array_equal(first.recall, again.recall)
    assert (first.recall != other.recall).any()
    assert len({tuple(draw) for draw in first.recall.T.tolist()}) > 1


def test_nothing_to_predict_and_no_times_are_errors() -> None:
    index = ExactIndex(CIRCLE)
    with pytest.raises(DataError, match="no user has actions on two days"):
        evaluate(LastItem(), [WALK[:2]], CIRCLE, index, Protocol(), seed=0)
    with pytest.raises(DataError, match="needs timestamps"):
        evaluate(LastItem(), [History(items=WALK.items)], CIRCLE, index, Protocol(), seed=0)
