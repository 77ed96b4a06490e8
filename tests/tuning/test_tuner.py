"""The tuner with trials that end in every way, without processes: what is told, what goes on, and when it stops."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from peftrec.jobs.isolation import Job, JobOutcome
from peftrec.tuning.candidates import Candidate, compose_candidates
from peftrec.tuning.finals import best_file, final_settings, write_best
from peftrec.tuning.journal import opened_journal
from peftrec.tuning.learnt import budget_curves, curves_table
from peftrec.tuning.settings import Budget, TuneSettings
from peftrec.tuning.study import StrategyStudy
from peftrec.tuning.tables import trials_table
from peftrec.tuning.tuner import Tuner
from tuner_that_is_killed import run_trial, tuned_of

pytestmark = pytest.mark.integration

pytest.importorskip("optuna")

Ends = Callable[[Job], JobOutcome]


class AtOnce:
    """Stands in for JobRunner: a trial has ended when it is submitted."""

    slots = 1

    def __init__(self, ends: Ends = run_trial) -> None:
        self.ends = ends
        self.submitted: list[Job] = []

    @contextmanager
    def submitting(self) -> Iterator[Callable[[str, Job], "Future[JobOutcome]"]]:
        def submit(name: str, job: Job) -> "Future[JobOutcome]":
            self.submitted.append(job)
            future: Future[JobOutcome] = Future()
            future.set_result(self.ends(job))
            return future

        yield submit


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> list[Candidate]:
    folder = tmp_path_factory.mktemp("tuned")
    words = ["strategy=id,frozen_cached", f"runs_dir={folder}", "name=made-up", "trainer.max_epochs=4"]
    return compose_candidates(words, TuneSettings(budget=Budget(trials=1)))


def tune(
    candidates: list[Candidate], folder: Path, settings: TuneSettings, runner: AtOnce
) -> tuple[bool, dict[str, StrategyStudy]]:
    with opened_journal(folder) as storage:
        tuned = tuned_of(candidates, storage, settings)
        is_done = Tuner(tuned, settings, folder, on_told=lambda: None).run(runner)  # type: ignore[arg-type]
        return is_done, {each.study.name: each.study for each in tuned}


def without_stops(**budget: float) -> TuneSettings:
    return TuneSettings(budget=Budget(**budget), pruner="none")  # type: ignore[arg-type]


def test_strategies_take_turns_and_have_the_same(candidates: list[Candidate], tmp_path: Path) -> None:
    runner = AtOnce()
    is_done, studies = tune(candidates, tmp_path, without_stops(trials=3), runner)
    assert is_done
    assert [job.label.split()[0] for job in runner.submitted] == ["id", "frozen_cached"] * 3
    assert {study.begun() for study in studies.values()} == {3}
    assert all(job.config["seed"] == 0 for job in runner.submitted)


def test_a_trial_that_fails_is_a_result_with_its_reason(candidates: list[Candidate], tmp_path: Path) -> None:
    def ends(job: Job) -> JobOutcome:
        if job.label == "id trial 1":
            return JobOutcome(label="", overrides=[], status="out_of_memory", error="CUDA out of memory", seconds=1.0)
        return run_trial(job)

    is_done, studies = tune(candidates, tmp_path, without_stops(trials=3), AtOnce(ends))
    assert is_done
    results = studies["id"].results()
    assert [result.state for result in results] == ["complete", "failed", "complete"]
    assert results[1].error == "out_of_memory: CUDA out of memory"
    best = studies["id"].best()
    assert best is not None
    assert best.number != 1


def test_a_process_that_was_killed_is_started_again_once(candidates: list[Candidate], tmp_path: Path) -> None:
    kills = {"id trial 0": 1, "id trial 1": 9}

    def ends(job: Job) -> JobOutcome:
        kills[job.label] = kills.get(job.label, 0) - 1
        if kills[job.label] >= 0:
            return JobOutcome(label="", overrides=[], status="failed", error="killed", was_killed=True, seconds=1.0)
        return run_trial(job)

    runner = AtOnce(ends)
    _, studies = tune(candidates[:1], tmp_path, without_stops(trials=2), runner)
    assert [result.state for result in studies["id"].results()] == ["complete", "failed"]
    assert [job.label for job in runner.submitted] == ["id trial 0"] * 2 + ["id trial 1"] * 2


def test_an_interrupted_trial_goes_on_and_keeps_its_number(candidates: list[Candidate], tmp_path: Path) -> None:
    def interrupted(job: Job) -> JobOutcome:
        return JobOutcome(label="", overrides=[], status="interrupted", seconds=0.0)

    _, studies = tune(candidates[:1], tmp_path, without_stops(trials=1), AtOnce(interrupted))
    assert [result.state for result in studies["id"].results()] == ["running"]
    runner = AtOnce()
    _, studies = tune(candidates[:1], tmp_path, without_stops(trials=2), runner)
    assert [result.state for result in studies["id"].results()] == ["complete", "complete"]
    assert [job.label for job in runner.submitted] == ["id trial 0", "id trial 1"]


def test_a_budget_of_seconds_is_the_same_for_each(candidates: list[Candidate], tmp_path: Path) -> None:
    """A made-up trial trains for four seconds: the third begins before ten are over, and none after."""
    is_done, studies = tune(candidates, tmp_path, without_stops(seconds=10.0), AtOnce())
    assert is_done
    assert {name: [each.seconds for each in study.results()] for name, study in studies.items()} == {
        "id": [4.0] * 3,
        "frozen_cached": [4.0] * 3,
    }


def test_a_cap_on_hours_begins_no_trial_and_the_same_command_goes_on(
    candidates: list[Candidate], tmp_path: Path
) -> None:
    capped = TuneSettings(budget=Budget(trials=2), pruner="none", hours=1e-9)
    is_done, studies = tune(candidates, tmp_path, capped, AtOnce())
    assert not is_done
    assert studies["id"].begun() == 0
    is_done, studies = tune(candidates, tmp_path, without_stops(trials=2), AtOnce())
    assert is_done
    assert studies["id"].begun() == 2


def test_only_drawn_trials_wait_for_word(candidates: list[Candidate], tmp_path: Path) -> None:
    rungs: dict[int, tuple[int, ...]] = {}

    def ends(job: Job) -> JobOutcome:
        assert job.trial is not None
        rungs[int(job.label.split()[-1])] = job.trial.rungs
        return run_trial(job.model_copy(update={"trial": job.trial.model_copy(update={"rungs": ()})}))

    tune(candidates[:1], tmp_path, TuneSettings(budget=Budget(trials=5)), AtOnce(ends))
    assert rungs == {0: (), 1: (), 2: (1, 2), 3: (), 4: (1, 2)}


@pytest.fixture(scope="module")
def combinations(tmp_path_factory: pytest.TempPathFactory) -> list[Candidate]:
    folder = tmp_path_factory.mktemp("combined")
    words = ["strategy=id", "user_encoder=sasrec,ligr", f"runs_dir={folder}", "name=made-up", "trainer.max_epochs=4"]
    return compose_candidates(words, TuneSettings(budget=Budget(trials=1)))


def test_combinations_take_turns_and_are_told_apart_in_every_file(
    combinations: list[Candidate], tmp_path: Path
) -> None:
    runner = AtOnce()
    _, studies = tune(combinations, tmp_path, without_stops(trials=4), runner)
    assert [job.label for job in runner.submitted[:3]] == [
        "id (SASRec) trial 0",
        "id (LiGR) trial 0",
        "id (SASRec) trial 1",
    ]
    assert list(studies) == ["id, user_encoder=sasrec", "id, user_encoder=ligr"]
    table = trials_table(list(studies.values()))
    assert list(table.columns[:3]) == ["strategy", "user_encoder", "trial"]
    assert table["user_encoder"].tolist() == ["sasrec"] * 4 + ["ligr"] * 4
    assert table["user_encoder.dropout"].nunique() == 7  # the defaults are the same, and no draw
    assert set(curves_table(budget_curves(list(studies.values())))["strategy"]) == {"id (SASRec)", "id (LiGR)"}


@pytest.mark.parametrize("compared", ["candidates", "combinations"])
def test_the_best_settings_are_what_train_composes_from_the_folder(
    compared: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from peftrec.code.user_code import open_door
    from peftrec.settings.composition import compose_settings

    candidates: list[Candidate] = request.getfixturevalue(compared)
    settings = without_stops(trials=3)
    with opened_journal(tmp_path) as storage:
        tuned = tuned_of(candidates, storage, settings)
        assert Tuner(tuned, settings, tmp_path, on_told=lambda: None).run(AtOnce())  # type: ignore[arg-type]
        written = write_best(tuned, tmp_path, "peftrec tune ...")
        assert [path.relative_to(tmp_path / "best") for path in written] == [best_file(each) for each in candidates]
        open_door(config=[str(tmp_path / "best")])
        try:
            for each in tuned:
                best = each.study.best()
                assert best is not None
                words = [*each.candidate.combination.overrides, "name=made-up", "trainer.max_epochs=4", "seed=7"]
                composed = compose_settings([*words, f"runs_dir={each.candidate.settings.runs_dir}"])
                assert composed == final_settings(each, best, 7)
        finally:
            open_door()
