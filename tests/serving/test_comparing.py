"""`peftrec retrieval` on a small run."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from peftrec.cli import main as cli
from peftrec.cli import retrieval
from peftrec.errors import SettingsError
from peftrec.profiles.base import unit_rows
from peftrec.profiles.evaluation import Protocol, evaluate
from peftrec.profiles.last_item import LastItem
from peftrec.profiles.neighbours import ExactIndex
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.serving.user_histories import UserHistories
from peftrec.training.run.restored_run import RestoredRun

pytestmark = pytest.mark.integration

NUM_USERS, DAY = 16, 86400
PUBLISHED = {"decay_average", "pinnersage", "kmeans"}


def test_all_profiles_are_compared_on_the_same_days(
    restored: Callable[..., RestoredRun], capsys: pytest.CaptureFixture[str]
) -> None:
    run = restored("full")
    words = ["retrieval", f"run={run.directory}", "budget=6", "num_draws=2"]
    assert cli.main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    rows = {row["profile"]: row for row in content["profiles"]}
    assert set(rows) > PUBLISHED | {"last_item"}
    assert content["num_users"] == NUM_USERS
    assert content["num_days"] == NUM_USERS * 2
    assert content["neighbour_recall"] is None
    catalogue = unit_rows(ServedCatalogue.of(run).embeddings)
    histories = [history for _, history in UserHistories.of(run, day_length=86400.0)]
    outcome = evaluate(LastItem(), histories, catalogue, ExactIndex(catalogue), Protocol(budget=6), seed=1)
    assert rows["last_item"]["recall"] == pytest.approx(float(outcome.recall.mean()))
    assert content["num_targets"] == outcome.num_targets
    for row in rows.values():
        assert row["candidates"] <= 6
        assert row["relevance"] >= row["recall"]
        if row["profile"] != "last_item" and row["recall_lift"] is not None:
            lift = 100 * (row["recall"] / rows["last_item"]["recall"] - 1)
            assert row["recall_lift"]["percent"] == pytest.approx(lift)


@pytest.mark.usefixtures("answers_from_restored")
def test_the_table_says_what_it_rests_on(
    restored: Callable[..., RestoredRun], capsys: pytest.CaptureFixture[str]
) -> None:
    run = restored("full")
    items = len(run.split.items)
    words = ["retrieval", f"run={run.directory}", "profile=pinnersage", "neighbours=hnsw", "budget=6", "num_draws=2"]
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines()[:3]] == ["profile", "last_item", "pinnersage"]
    assert f"{NUM_USERS} users, {2 * NUM_USERS} days" in text
    assert f"at most 6 of {items} items a day ({6 / items:.1%}); relevant from cosine 0.8" in text
    assert "approximate, 100.00% of the exact ones found" in text
    assert "arXiv:2007.03634, Table 3" in text


@pytest.mark.usefixtures("answers_from_restored")
def test_a_budget_of_more_than_all_items_is_no_share(
    restored: Callable[..., RestoredRun], capsys: pytest.CaptureFixture[str]
) -> None:
    run = restored("full")
    assert cli.main(["retrieval", f"run={run.directory}", "profile=last_item", "budget=4000"]) == 0
    expected = f"a budget of 4,000 items a day, which is no limit for {len(run.split.items)} items; relevant from"
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["budgets=3"], "budgets=3: did you mean budget=3?"),
        (["budget=many"], "budget: expected an integer"),
        (["threshold=2"], "threshold: expected a value less than 1"),
        (["first_day=1000000"], "no user has actions on two days"),
        (["profile=pinnersage,ward"], "profile=ward: no such option"),
        (["profile=kmeans", "profile.alpha=1"], "unknown key profile.alpha"),
        (["budget=3", "budget=4"], "budget is given twice"),
    ],
)
@pytest.mark.usefixtures("answers_from_restored")
def test_a_mistake_is_one_line(
    words: list[str], message: str, train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["retrieval", f"run={train('full')}", *words]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


def test_days_need_timestamps(train: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    run = train("full", timestamp_column=None)
    assert cli.main(["retrieval", f"run={run}", "profile=last_item"]) == 2
    assert "the run's data has none: train on data that has them" in capsys.readouterr().err


def test_a_run_is_required() -> None:
    with pytest.raises(SettingsError, match="run is required"):
        retrieval.main(["profile=pinnersage"])


def test_times_are_counted_in_days_of_the_given_length(restored: Callable[..., RestoredRun]) -> None:
    run = restored("full")
    by_day = UserHistories.of(run, day_length=86400.0).of_user("u0").known_days()
    by_week = UserHistories.of(run, day_length=7 * 86400.0).of_user("u0").known_days()
    np.testing.assert_allclose(by_day, 7 * by_week)
    assert sorted(set(np.floor(by_day).tolist())) == [1000.0, 1007.0, 1014.0]


def test_a_split_by_time_is_predicted_in_its_test_period(
    train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Validation chose the epoch, so its days are not the future of these embeddings."""
    test_from = 1014 * DAY - 40000  # in a day that validation shares
    run = train("full", split="global_time", validation_from=1007 * DAY, test_from=test_from)
    for words, expected in (([], 1014), (["first_day=1007"], 1007)):
        assert cli.main(["retrieval", f"run={run}", "profile=last_item", *words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["protocol"]["first_day"] == expected
