"""The batch over all users, and what they did since."""

import numpy as np
import pytest

from peftrec.profiles.base import History, Interests
from peftrec.profiles.medoid_cache import MedoidCache
from peftrec.profiles.pinnersage import PinnerSage
from peftrec.profiles.updating import RECENT_STEPS, current_interests, infer_batch
from small_profiles import NUM_ITEMS, small_catalogue, small_history

CATALOGUE = small_catalogue()
IDS = [f"item-{row}" for row in range(NUM_ITEMS)]
ROWS = {item: row for row, item in enumerate(IDS)}
PROFILE = PinnerSage(alpha=1.0, decay=0.02)
HISTORY = small_history(60)


def batch(day: float, past_days: float = np.inf) -> MedoidCache:
    return infer_batch([("user", HISTORY)], PROFILE, CATALOGUE, IDS, day=day, past_days=past_days)


def now_of(cache: MedoidCache, since: History, now: float, user: str = "user") -> Interests:
    interests = current_interests(cache, user, since, PROFILE, CATALOGUE, ROWS, now=now)
    assert interests is not None
    return interests


def by_item(interests: Interests) -> dict[int, tuple[float, int]]:
    return {
        item: (importance, size)
        for item, importance, size in zip(
            interests.items.tolist(), interests.importance.tolist(), interests.sizes.tolist(), strict=True
        )
    }


@pytest.mark.parametrize("elapsed", [0.0, 0.7, 30.0])
def test_where_nothing_is_new_the_update_is_what_a_batch_would_give_now(elapsed: float) -> None:
    interests = now_of(batch(101.0), HISTORY, 101.0 + elapsed)
    expected = PROFILE.interests(HISTORY, CATALOGUE, now=101.0 + elapsed)
    np.testing.assert_array_equal(interests.items, expected.items)
    np.testing.assert_array_equal(interests.vectors, expected.vectors)
    np.testing.assert_array_equal(interests.sizes, expected.sizes)
    np.testing.assert_allclose(interests.importance, expected.importance, rtol=1e-12)


def test_importance_of_batch_and_update_adds_up_to_that_of_the_whole_history() -> None:
    """Every step counts exp(-decay (now - day)) once, whichever of the two saw it."""
    cache, now = batch(90.0), 101.0
    assert len(HISTORY.between(90.0, np.inf)) <= RECENT_STEPS
    interests = now_of(cache, HISTORY, now)
    total = np.exp(-PROFILE.decay * (now - HISTORY.known_days())).sum()
    np.testing.assert_allclose(interests.importance.sum(), total)
    assert interests.sizes.sum() == len(HISTORY)
    assert (np.diff(interests.importance) <= 0).all()


def test_a_medoid_of_both_is_one_interest() -> None:
    cache = batch(101.0)
    again = History(items=np.array([ROWS[cache.items[2]]]), days=np.array([101.5]))
    interests = now_of(cache, again, 101.5)
    faded = float(cache.importance[2] * np.exp(-PROFILE.decay * 0.5))
    importance, size = by_item(interests)[int(again.items[0])]
    assert len(interests) == len(cache.items)
    assert (importance, size) == (pytest.approx(faded + 1.0), int(cache.sizes[2]) + 1)


def test_the_update_reads_the_latest_steps_since_the_batch() -> None:
    since = History(items=np.arange(40) % NUM_ITEMS, days=np.linspace(100.0, 110.0, 40))
    cache = infer_batch([], PROFILE, CATALOGUE, IDS, day=104.0)
    expected = PROFILE.interests(since.between(104.0, np.inf)[-RECENT_STEPS:], CATALOGUE, now=110.0)
    interests = now_of(cache, since, 110.0, user="new")
    assert by_item(interests) == by_item(expected)
    assert interests.sizes.sum() == RECENT_STEPS


def test_who_did_nothing_has_no_interests() -> None:
    cache = batch(101.0)
    assert current_interests(cache, "nobody", HISTORY, PROFILE, CATALOGUE, ROWS, now=102.0) is None


def test_a_batch_looks_back_some_days() -> None:
    cache = batch(101.0, past_days=20.0)
    expected = PROFILE.interests(HISTORY.between(81.0, 101.0), CATALOGUE, now=101.0)
    assert [ROWS[item] for item in cache.items] == expected.items.tolist()
    assert infer_batch([("user", HISTORY)], PROFILE, CATALOGUE, IDS, day=500.0).users == ()


def test_a_batch_does_not_see_its_own_day() -> None:
    history = History(items=np.array([1, 2]), days=np.array([9.0, 10.0]))
    cache = infer_batch([("user", history)], PROFILE, CATALOGUE, IDS, day=10.0)
    assert cache.sizes.sum() == 1


def test_a_cache_of_another_decay_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fades by 0\.02 a day and the profile by 0\.5"):
        current_interests(batch(101.0), "user", HISTORY, PinnerSage(decay=0.5), CATALOGUE, ROWS, now=102.0)
