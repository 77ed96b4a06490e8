"""A cache is whole or absent, and holds what was put in."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peftrec.errors import DataError
from peftrec.profiles.medoid_cache import MedoidCache
from peftrec.profiles.pinnersage import PinnerSage
from peftrec.profiles.updating import infer_batch
from small_profiles import NUM_ITEMS, small_catalogue, small_history

CATALOGUE = small_catalogue()
IDS = [f"item-{row}" for row in range(NUM_ITEMS)]
ROWS = {item: row for row, item in enumerate(IDS)}
HISTORIES = [(f"user-{user}", small_history(5 + 3 * user, seed=user)) for user in range(6)]
PROFILE = PinnerSage(alpha=1.0)


def batch(day: float = 101.5, past_days: float = np.inf) -> MedoidCache:
    return infer_batch(HISTORIES, PROFILE, CATALOGUE, IDS, day=day, past_days=past_days)


def assert_equal(first: MedoidCache, second: MedoidCache) -> None:
    assert (first.users, first.items, first.day, first.decay) == (second.users, second.items, second.day, second.decay)
    for name in ("offsets", "importance", "sizes"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_it_reads_what_it_wrote(tmp_path: Path) -> None:
    cache = batch(np.float64(101.5))  # a day that numpy has counted
    cache.write(tmp_path / "medoids.parquet")
    again = MedoidCache.read(tmp_path / "medoids.parquet")
    assert_equal(cache, again)
    for user, history in HISTORIES:
        expected = PROFILE.interests(history, CATALOGUE, now=101.5)
        interests = again.interests(user, CATALOGUE, ROWS)
        assert interests is not None
        for name in ("vectors", "importance", "items", "sizes"):
            np.testing.assert_array_equal(getattr(interests, name), getattr(expected, name))
    assert again.interests("nobody", CATALOGUE, ROWS) is None


def test_an_empty_batch_is_a_cache_too(tmp_path: Path) -> None:
    cache = batch(day=-1.0)
    cache.write(tmp_path / "medoids.parquet")
    assert_equal(MedoidCache.read(tmp_path / "medoids.parquet"), cache)
    assert cache.users == ()


def test_a_failed_write_leaves_the_old_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "medoids.parquet"
    old = batch()
    old.write(place)

    def fail(handle: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        batch(day=50.0).write(place)
    monkeypatch.undo()
    assert_equal(MedoidCache.read(place), old)
    assert list(tmp_path.iterdir()) == [place]


def test_ids_survive_a_new_table_of_embeddings() -> None:
    order = np.random.default_rng(0).permutation(NUM_ITEMS)
    rows = {IDS[item]: place for place, item in enumerate(order.tolist())}
    interests = batch().interests("user-3", CATALOGUE[order], rows)
    before = batch().interests("user-3", CATALOGUE, ROWS)
    assert interests is not None
    assert before is not None
    np.testing.assert_array_equal(interests.vectors, before.vectors)


def test_centroids_cannot_be_kept() -> None:
    profile = PinnerSage(alpha=1.0, representative="centroid")
    with pytest.raises(DataError, match=r"set profile\.representative=medoid"):
        infer_batch(HISTORIES, profile, CATALOGUE, IDS, day=101.0)


def test_a_medoid_that_is_gone_is_named() -> None:
    cache = batch()
    gone = cache.items[cache.offsets[2]]
    rows = {item: row for item, row in ROWS.items() if item != gone}
    with pytest.raises(DataError, match=f"{gone}', a medoid of user 'user-2': run the batch again"):
        cache.interests("user-2", CATALOGUE, rows)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no cache of medoids can be read"):
        MedoidCache.read(tmp_path / "nowhere.parquet")
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"user": ["a"]}), other)
    with pytest.raises(DataError, match="this is no cache of medoids"):
        MedoidCache.read(other)
    other.write_bytes(b"no parquet")
    with pytest.raises(DataError, match="no cache of medoids can be read"):
        MedoidCache.read(other)
