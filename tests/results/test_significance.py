"""Paired tests against brute force, and against scipy's own."""

import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from peftrec.errors import RecordError
from peftrec.results.asked import Asked
from peftrec.results.paired_tests import bootstrap_interval, holm, permutation_p_value
from peftrec.results.ranks import per_user, read_ranks, read_seeds
from peftrec.results.significance import COLUMNS, all_pairs, compare_pairs, read_scored, spread, strategy_means
from peftrec.results.users_and_seeds import ANY_SEEDS, THESE_SEEDS, SeedDraws, difference_of, mean_of


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
    columns = ["difference", "claim", "ci_low", "ci_high", "p_value"]
    pd.testing.assert_frame_equal(pair[columns], two[columns])


@pytest.fixture
def drawn(tmp_path: Path) -> dict[str, list[Path]]:
    """Three strategies of 200 users: two with three seeds, one with one."""
    generator = np.random.default_rng(5)
    return {
        name: [
            write(tmp_path / f"{name}{seed}", ranks(generator.integers(1, best, 200).tolist())) for seed in range(seeds)
        ]
        for name, best, seeds in (("good", 15, 3), ("bad", 60, 3), ("single", 15, 1))
    }


def test_any_seeds_are_claimed_where_both_have_two(drawn: dict[str, list[Path]]) -> None:
    tests = compare_pairs(drawn, ["hr@10"]).set_index(["strategy_a", "strategy_b"])
    assert tuple(compare_pairs(drawn).columns) == COLUMNS
    assert tests["claim"].to_dict() == {
        ("good", "bad"): ANY_SEEDS,
        ("good", "single"): THESE_SEEDS,
        ("bad", "single"): THESE_SEEDS,
    }
    good, bad = (read_seeds(name, drawn[name]).scores("hr@10") for name in ("good", "bad"))
    estimate, row = difference_of(good, bad, pairs_seeds=False), tests.loc[("good", "bad")]
    assert (row["ci_low"], row["ci_high"]) == estimate.interval(0.95)
    assert (row["p_value"], row["difference"]) == (estimate.p_value(), estimate.mean)
    for pair in (("good", "single"), ("bad", "single")):
        row = tests.loc[pair]
        assert row["p_value"] == row["these_seeds_p"]


def test_each_family_of_p_values_is_corrected_over_all_rows(drawn: dict[str, list[Path]]) -> None:
    tests = all_pairs(read_scored(drawn), asked=Asked(margin=0.05))
    for column, corrected in (("p_value", "p_holm"), ("these_seeds_p", "these_seeds_p_holm")):
        assert tests[corrected].tolist() == holm(tests[column].tolist())
    assert tests["p_equivalence_holm"].tolist() == holm(tests["p_equivalence"].tolist())


def test_a_margin_makes_equal_strategies_equivalent_and_wide_intervals_undecided(
    drawn: dict[str, list[Path]], tmp_path: Path
) -> None:
    generator = np.random.default_rng(6)
    alike = [write(tmp_path / f"alike{seed}", ranks(generator.integers(1, 15, 200).tolist())) for seed in range(3)]
    folders = {"good": drawn["good"], "alike": alike, "bad": drawn["bad"]}
    verdicts = {
        margin: all_pairs(read_scored(folders), ["hr@10"], asked=Asked(margin=margin)).set_index(
            ["strategy_a", "strategy_b"]
        )["verdict"]
        for margin in (None, 0.0001, 0.2)
    }
    assert verdicts[None].tolist() == ["undecided", "better", "better"]
    assert verdicts[0.0001].tolist() == ["undecided", "better", "better"]
    assert verdicts[0.2].tolist() == ["equivalent", "better", "better"]


def test_the_seeds_of_one_start_and_order_pair(drawn: dict[str, list[Path]]) -> None:
    """Where every seed gave both the same; a strategy that did not note it pairs with none."""
    folders = {"good": drawn["good"], "bad": drawn["bad"]}
    noted = [SeedDraws(seed, "64", "start") for seed in range(3)]
    others = [SeedDraws(seed, "64", "another") for seed in range(3)]
    cases = {
        "user and seed": {"good": noted, "bad": noted},
        "user": {"good": noted, "bad": others},
    }
    for expected, draws in cases.items():
        row = all_pairs(read_scored(folders, draws), ["ndcg@10"]).iloc[0]
        assert row["paired_by"] == expected
        good, bad = (read_seeds(name, drawn[name]).scores("ndcg@10") for name in folders)
        estimate = difference_of(good, bad, pairs_seeds=expected == "user and seed")
        assert (row["ci_low"], row["ci_high"]) == estimate.interval(0.95)
    unnoted: list[SeedDraws | None] = [None, None, None]
    row = all_pairs(read_scored(folders, {"good": unnoted, "bad": unnoted}), ["ndcg@10"]).iloc[0]
    assert row["paired_by"] == "user"


def test_no_interval_of_a_mean_leaves_what_a_mean_can_be(tmp_path: Path) -> None:
    """Few users and two seeds that differ much."""
    folders = [write(tmp_path / str(worst), ranks([1, 2, *4 * [worst]])) for worst in (3, 400)]
    estimate = mean_of(read_scored({"wide": folders})["wide"].ranks.scores("hr@10"))
    low, high = estimate.interval(0.95)
    assert low < 0 or high > 1, "or the case says nothing"
    (row,) = strategy_means(read_scored({"wide": folders}), ["hr@10"]).to_dict("records")
    assert 0 <= row["ci_low"] < row["mean"] < row["ci_high"] <= 1


def test_means_have_the_interval_of_their_table(drawn: dict[str, list[Path]]) -> None:
    means = strategy_means(read_scored(drawn), ["hr@10"]).set_index("strategy")
    estimate = mean_of(read_seeds("good", drawn["good"]).scores("hr@10"))
    assert (means.loc["good", "ci_low"], means.loc["good", "ci_high"]) == estimate.interval(0.95)
    assert means["claim"].tolist() == [ANY_SEEDS, ANY_SEEDS, THESE_SEEDS]
    assert 0 <= means.loc["good", "share_of_seeds"] < 1
    assert pd.isna(means.loc["single", "share_of_seeds"])


def test_a_large_report_takes_a_second_or_two(tmp_path: Path) -> None:
    """Users of Amazon Scientific, five seeds, eight strategies; a generous bound, because machines are shared."""
    generator = np.random.default_rng(0)
    folders = {
        name: [
            write(tmp_path / f"{name}{seed}", ranks(generator.integers(1, 200, 12_076).tolist())) for seed in range(5)
        ]
        for name in "abcdefgh"
    }
    began = time.process_time()
    tests = all_pairs(read_scored(folders), ("hr@10", "ndcg@10"), asked=Asked(margin=0.01, wish=0.003))
    taken = time.process_time() - began
    assert len(tests) == 56
    assert taken < 10


def test_one_user_has_no_interval(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="one test user"):
        compare_pairs({"a": [write(tmp_path / "a", ranks([1]))], "b": [write(tmp_path / "b", ranks([2]))]})


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
