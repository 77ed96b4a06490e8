"""Paired tests against brute force, and against scipy's own."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from peftrec.errors import RecordError
from peftrec.results.significance import (
    bootstrap_interval,
    compare_pairs,
    holm,
    per_user,
    permutation_p_value,
    read_ranks,
    spread,
)


def ranks(values: list[int], unreachable: tuple[int, ...] = ()) -> pd.DataFrame:
    places = range(len(values))
    return pd.DataFrame(
        {
            "user": [f"u{place}" for place in places],
            "rank": values,
            "is_cold": False,
            "is_unreachable": [place in unreachable for place in places],
            "history_length": 5,
        }
    )


def write(folder: Path, table: pd.DataFrame) -> Path:
    folder.mkdir()
    table.to_parquet(folder / "ranks.parquet")
    return folder


def test_metrics_by_hand() -> None:
    table = ranks([1, 3, 10, 11, 1], unreachable=(4,))
    assert per_user(table, "hr@10").tolist() == [1, 1, 1, 0, 0]
    assert per_user(table, "ndcg@10").tolist() == pytest.approx([1, 0.5, 1 / np.log2(11), 0, 0])
    assert per_user(table, "mrr@10").tolist() == pytest.approx([1, 1 / 3, 0.1, 0, 0])
    with pytest.raises(RecordError, match="recall@10"):
        per_user(table, "recall@10")


def test_few_users_are_enumerated() -> None:
    differences = np.array([0.5, -0.25, 1.0, 0.0, 0.75, 1.0])
    sums = [float(np.dot(signs, differences)) for signs in itertools.product([-1, 1], repeat=len(differences))]
    expected = np.mean([abs(value) >= abs(differences.sum()) - 1e-12 for value in sums])
    assert permutation_p_value(differences, np.random.default_rng(0)) == pytest.approx(expected)


@pytest.mark.parametrize("num_users", [120, 600])
def test_many_users_agree_with_scipy(num_users: int) -> None:
    """Few that differ are drawn as users, many by the values of their differences."""
    drawn = np.random.default_rng(3)
    differences = drawn.choice([-1.0, 0.0, 0.0, 0.0, 0.5, 1.0], size=num_users)
    theirs = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=4999, random_state=np.random.default_rng(1)
    )
    assert permutation_p_value(differences, drawn) == pytest.approx(theirs.pvalue, abs=0.03)
    interval = stats.bootstrap(
        (differences,), np.mean, method="percentile", n_resamples=4999, random_state=np.random.default_rng(1)
    ).confidence_interval
    assert bootstrap_interval(differences, drawn) == pytest.approx((interval.low, interval.high), abs=0.02)


@pytest.mark.parametrize(("num_users", "num_lost"), [(20, 6), (64, 24), (130, 54), (400, 190)])
def test_equal_differences_are_a_sign_test(num_users: int, num_lost: int) -> None:
    differences = np.where(np.arange(num_users) < num_lost, -0.5, 0.5)
    expected = stats.binomtest(num_lost, num_users).pvalue
    assert 0.01 < expected < 0.5
    assert permutation_p_value(differences, np.random.default_rng(0)) == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("num_users", [1, 3, 20, 301])
def test_the_interval_of_equal_differences_is_a_point(num_users: int) -> None:
    assert bootstrap_interval(np.ones(num_users), np.random.default_rng(0)) == (1.0, 1.0)


def test_the_interval_where_one_user_differs() -> None:
    """A resample holds that user a binomial number of times, often not at all."""
    differences = np.array([1.0] + [0.0] * 99)
    low, high = stats.binom(100, 0.01).ppf([0.025, 0.975]) / 100
    assert bootstrap_interval(differences, np.random.default_rng(0)) == pytest.approx((low, high))
    assert (low, high) == (0.0, 0.03)


def test_no_difference_is_no_evidence() -> None:
    assert permutation_p_value(np.zeros(50), np.random.default_rng(0)) == 1.0
    assert bootstrap_interval(np.zeros(50), np.random.default_rng(0)) == (0.0, 0.0)


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_spread_of_one_seed_is_unknown() -> None:
    assert spread([0.5]).std is None
    assert spread([0.5]).half_width is None
    both = spread([1.0, 3.0])
    assert (both.mean, both.std, both.count) == (2.0, pytest.approx(2**0.5), 2)
    assert both.half_width == pytest.approx(12.706, abs=1e-3)


def test_pairs_average_seeds_and_align_users(tmp_path: Path) -> None:
    good = [write(tmp_path / "a1", ranks([1] * 40)), write(tmp_path / "a2", ranks([1] * 20 + [50] * 20))]
    bad = [write(tmp_path / "b1", ranks([50] * 40).sample(frac=1, random_state=0))]
    found = compare_pairs({"good": good, "bad": bad}, ["hr@10"]).iloc[0]
    assert (found["mean_a"], found["mean_b"], found["difference"]) == (0.75, 0.0, 0.75)
    assert (found["seeds_a"], found["seeds_b"], found["num_users"]) == (2, 1, 40)
    assert 0.6 < found["ci_low"] < 0.75 < found["ci_high"] < 0.9
    assert found["p_value"] == 1e-4
    assert found["is_significant"]


def test_same_input_same_output_and_pairs_do_not_depend_on_others(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    folders = {name: [write(tmp_path / name, ranks(drawn.integers(1, 30, 80).tolist()))] for name in "abc"}
    every = compare_pairs(folders)
    pd.testing.assert_frame_equal(every, compare_pairs(folders))
    two = compare_pairs({name: folders[name] for name in "ab"})
    pair = every[(every["strategy_a"] == "a") & (every["strategy_b"] == "b")].reset_index(drop=True)
    columns = ["difference", "ci_low", "ci_high", "p_value"]
    pd.testing.assert_frame_equal(pair[columns], two[columns])


def test_other_users_are_refused(tmp_path: Path) -> None:
    folders = {"a": [write(tmp_path / "a", ranks([1, 2]))], "b": [write(tmp_path / "b", ranks([1, 2, 3]))]}
    with pytest.raises(RecordError, match="a and b were not tested on the same users"):
        compare_pairs(folders)


def test_damaged_ranks_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"nothing/ranks\.parquet"):
        read_ranks(tmp_path / "nothing")
    with pytest.raises(RecordError, match="column is_cold is missing"):
        read_ranks(write(tmp_path / "old", ranks([1]).drop(columns="is_cold")))
    with pytest.raises(RecordError, match="below 1"):
        read_ranks(write(tmp_path / "zero", ranks([0])))
