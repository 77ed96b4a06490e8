"""Lifts by hand, and the published ones against the yaml files that they stand beside."""

import dataclasses

import numpy as np
import pytest

from peftrec.config.folder import config_directory
from peftrec.profiles.evaluation import Outcome
from peftrec.profiles.lifts import lift_cells, lift_of, lift_rows, read_published

BASE = Outcome(
    relevance=np.array([[0.2], [0.4]]),
    recall=np.array([[0.1], [0.1]]),
    num_users=2,
    num_users_left_out=0,
    num_days=5,
    num_targets=9,
    mean_interests=1.0,
    mean_queries=1.0,
    mean_candidates=400.0,
)


def test_a_lift_is_relative_to_the_baselines_mean() -> None:
    values = np.array([[0.4, 0.5], [0.8, 0.7]])
    lift = lift_of(values, BASE.relevance, seed=0)
    assert lift is not None
    assert lift.percent == pytest.approx(100 * (0.6 / 0.3 - 1))
    assert lift.deviation == pytest.approx(0.0, abs=1e-9)  # both draws have the mean 0.6
    spread = lift_of(np.array([[0.3, 0.6], [0.3, 0.6]]), BASE.relevance, seed=0)
    assert spread is not None
    assert spread.deviation == pytest.approx(np.std([0.0, 100.0], ddof=1))


def test_the_same_values_lift_nothing_with_certainty() -> None:
    random = np.random.default_rng(0).uniform(0.1, 0.9, (40, 1))
    lift = lift_of(random, random, seed=0)
    assert lift is not None
    assert (lift.percent, lift.deviation, lift.interval) == (pytest.approx(0.0), None, pytest.approx((0.0, 0.0)))


def test_the_interval_holds_the_lift_and_shrinks_with_users() -> None:
    random = np.random.default_rng(1)
    widths = []
    for number in (50, 1250):  # the square root of 25 times as many
        baseline = random.uniform(0.2, 0.4, (number, 1))
        lift = lift_of(1.5 * baseline + random.normal(0, 0.05, (number, 1)), baseline, seed=0)
        assert lift is not None
        assert lift.interval[0] < 50.0 < lift.interval[1]
        widths.append(lift.interval[1] - lift.interval[0])
    assert widths[1] < widths[0] / 3


def test_a_baseline_that_reached_nothing_has_no_lift() -> None:
    assert lift_of(BASE.recall, np.zeros((2, 1)), seed=0) is None


def test_rows_and_their_text() -> None:
    ours = dataclasses.replace(BASE, relevance=2 * BASE.relevance)
    baseline, other, unknown = lift_rows({"last_item": BASE, "kmeans": ours, "mine": ours}, "last_item", seed=0)
    assert baseline["relevance_lift"] is None
    assert other["relevance_lift"].percent == pytest.approx(100.0)
    assert (other["relevance_lift_published"], other["recall_lift_published"]) == (91, 68)
    assert unknown["relevance_lift_published"] is None
    cells = lift_cells(other)
    assert cells["relevance lift %"] == "100.0 [100.0, 100.0]"
    assert cells["relevance lift % published"] == "91"
    assert lift_cells(baseline)["recall lift %"] == ""


def test_published_lifts_stand_beside_profiles_that_exist() -> None:
    known = {path.stem for path in (config_directory() / "profiles" / "profile").glob("*.yaml")}
    assert set(read_published().lifts) == known - {"last_item"}
