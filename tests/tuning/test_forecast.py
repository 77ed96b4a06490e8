"""What a tuning is said to take: jobs that are left, hours from measured epochs or a rate, bytes from a plan."""

from pathlib import Path

import pytest

from peftrec.planning.request import PlanRequest
from peftrec.training.run.pipeline import train_run
from peftrec.tuning.candidates import compose_candidates
from peftrec.tuning.forecast import forecasts, to_text
from peftrec.tuning.settings import Budget, TuneSettings
from peftrec.tuning.study import Spent

pytestmark = pytest.mark.integration

SMALL = ("data.num_users=60", "data.num_items=100", "trainer.accelerator=cpu", "trainer.max_epochs=2")
SETTINGS = TuneSettings(budget=Budget(trials=10), final_seeds=(1, 2))


def test_hours_come_from_epochs_that_were_measured(tmp_path: Path) -> None:
    words = ["strategy=id,frozen", *SMALL, "trainer.has_progress_bar=false", f"runs_dir={tmp_path}"]
    candidates = compose_candidates([*words, "name=tuned"], SETTINGS)
    before = forecasts(candidates, SETTINGS, [Spent(), Spent()], PlanRequest())
    assert [each.hours for each in before] == [None, None]
    assert "hours unknown for some" in to_text(before, SETTINGS, 1)
    (run,) = compose_candidates(["strategy=id", *words[1:], "name=before"], SETTINGS)
    train_run(run.settings)
    own, other = forecasts(candidates, SETTINGS, [Spent(begun=4), Spent()], PlanRequest())
    assert (own.trials, own.finals, own.basis) == (6, 2, "2 epochs measured in before")
    assert own.seconds_per_epoch is not None
    assert own.hours == pytest.approx((6 + 2) * 2 * own.seconds_per_epoch / 3600)
    assert other.hours is None


def test_a_rate_gives_hours_and_a_plan_bytes(tmp_path: Path) -> None:
    words = ["strategy=id,frozen_cached", *SMALL, f"runs_dir={tmp_path}"]
    candidates = compose_candidates(words, SETTINGS)
    found = forecasts(candidates, SETTINGS, [Spent(), Spent()], PlanRequest(rate=1e9))
    assert all(each.hours for each in found)
    assert (found[0].store_bytes, found[0].final_bytes) == (0, 2 * found[0].running_bytes)
    assert found[1].store_bytes > 0
    text = to_text(found, SETTINGS, 2)
    assert "in all: 24 jobs; " in text
    assert text.splitlines()[-2].endswith("one job at a time; slots=2 runs 2 at a time")
    assert to_text(found, SETTINGS, 1).splitlines()[-2].endswith("hours at most, one job at a time")


def test_a_budget_of_seconds_is_its_own_forecast(tmp_path: Path) -> None:
    settings = TuneSettings(budget=Budget(seconds=1800.0), final_seeds=(1,))
    candidates = compose_candidates(["strategy=id", *SMALL, f"runs_dir={tmp_path}"], settings)
    (found,) = forecasts(candidates, settings, [Spent()], PlanRequest(rate=1e12))
    assert found.trials is None
    assert found.hours == pytest.approx(0.5, rel=0.01)
    assert "1800 s of trials and 1 final run, " in to_text([found], settings, 1)
