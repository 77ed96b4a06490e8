"""A trial of a tuning as a run: it never scores the test set, has a name of its own, and stops where it is told to."""

from pathlib import Path

import pytest

from peftrec.errors import RecordError
from peftrec.results.record import RANKS_FILE, Record, read_finished, read_record
from peftrec.results.report.report import build_report
from peftrec.results.runs import find_runs
from peftrec.training.run import fitting, pipeline
from peftrec.training.run.pipeline import train_run
from peftrec.training.run.trial_watch import TrialOrder, give_answer, read_progress
from small_runs import small_settings

pytestmark = pytest.mark.integration


def order(tmp_path: Path, *rungs: int) -> TrialOrder:
    (tmp_path / "meeting").mkdir(exist_ok=True)
    return TrialOrder(folder=str(tmp_path / "meeting"), rungs=rungs)


def test_a_trial_never_scores_the_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scores(*_: object, **__: object) -> None:
        raise AssertionError("the test set was scored")

    monkeypatch.setattr(pipeline, "evaluate_test", scores)
    settings = small_settings(tmp_path, "id")
    outcome = train_run(settings, order(tmp_path))
    record = read_record(outcome.run_directory)
    assert (outcome.status, record.kind, record.evaluation) == ("success", "trial", None)
    assert record.chosen_validation == record.epochs[record.chosen_epoch or 0].validation
    assert outcome.run_directory.parent == settings.experiment_directory / "trials"
    assert not (outcome.run_directory / RANKS_FILE).exists()
    assert not list(outcome.run_directory.rglob("*.ckpt"))
    progress = read_progress(tmp_path / "meeting")
    assert progress is not None
    assert progress.values == [epoch.validation["hr@10"] for epoch in record.epochs]


def test_a_run_never_finds_a_trial_finished(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, "id")
    trial = train_run(settings, order(tmp_path))
    run = train_run(settings)
    first, second = read_record(trial.run_directory), read_record(run.run_directory)
    assert first.run_id != second.run_id
    assert first.question_hash != second.question_hash
    assert second.evaluation is not None
    assert [epoch.validation for epoch in first.epochs] == [epoch.validation for epoch in second.epochs]
    again = train_run(settings, order(tmp_path))
    assert again.run_directory == trial.run_directory
    assert [each.name for each in find_runs(settings.experiment_directory)] == [second.run_id]
    assert len(find_runs(settings.experiment_directory, with_trials=True)) == 2
    assert {run.name for run in build_report(settings.experiment_directory).comparison.runs} == {second.run_id}


def test_trials_are_in_no_table_and_answer_no_question(tmp_path: Path) -> None:
    trial = train_run(small_settings(tmp_path, "id"), order(tmp_path))
    with pytest.raises(RecordError, match=r"nothing but trials of a tuning \(1\)"):
        build_report(trial.run_directory.parent)
    with pytest.raises(RecordError, match="a trial of a tuning, which keeps no parameters"):
        read_finished(trial.run_directory)


def test_a_record_of_a_trial_with_test_figures_is_malformed(tmp_path: Path) -> None:
    run = read_record(train_run(small_settings(tmp_path, "id")).run_directory)
    with pytest.raises(ValueError, match="a trial has no evaluation"):
        Record.model_validate(run.model_dump() | {"kind": "trial"})


def test_a_trial_stops_between_two_epochs_and_stays_so(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, "id")
    give_answer(tmp_path / "meeting", 1, goes_on=True)
    give_answer(tmp_path / "meeting", 2, goes_on=False)
    outcome = train_run(settings, order(tmp_path, 1, 2))
    record = read_record(outcome.run_directory)
    assert (outcome.status, record.status, len(record.epochs)) == ("pruned", "pruned", 2)
    again = train_run(settings, order(tmp_path, 1, 2))
    assert read_record(again.run_directory) == record


def test_a_trial_that_is_killed_after_it_was_stopped_trains_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word is there, the record of the end is not yet."""

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    settings = small_settings(tmp_path, "id")
    give_answer(tmp_path / "meeting", 2, goes_on=False)
    with monkeypatch.context() as patched:
        patched.setattr(fitting, "load_best", kill)
        with pytest.raises(KeyboardInterrupt):
            train_run(settings, order(tmp_path, 2))
    (killed,) = find_runs(settings.experiment_directory, with_trials=True)
    assert (killed.record.status, len(killed.record.epochs)) == ("interrupted", 2)
    outcome = train_run(settings, order(tmp_path, 2))
    record = read_record(outcome.run_directory)
    assert (outcome.run_directory, record.status) == (killed.folder, "pruned")
    assert record.epochs == killed.record.epochs
    assert not list(outcome.run_directory.rglob("*.ckpt"))
