"""Several tunings in one folder: each command's table of trials holds all of them, and a dry run knows its own."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from peftrec.errors import SettingsError
from peftrec.jobs.isolation import Job, JobOutcome
from peftrec.tuning import tuning
from peftrec.tuning.files import Learnt
from tuner_that_is_killed import run_trial

pytestmark = pytest.mark.integration

pytest.importorskip("optuna")

SHARED = (
    *("name=made-up", "trainer.max_epochs=4", "data.num_users=60", "data.num_items=100", "embedding_dim=16"),
    *("trainer.accelerator=cpu", "measure=never", "final_seeds=1,2"),
)
TWO_FIRST = ("strategy=id,lst_cached", "budget.trials=4")


def unstopped_trial(job: Job) -> JobOutcome:
    assert job.trial is not None
    return run_trial(job.model_copy(update={"trial": job.trial.model_copy(update={"rungs": ()})}))


class MadeUpTrials:
    """Stands in for JobRunner: a trial trains nothing, and has ended when it is submitted."""

    slots = 1
    outcome: Callable[[Job], JobOutcome] = staticmethod(unstopped_trial)

    def __init__(self, **_: Any) -> None:
        pass

    @contextmanager
    def submitting(self) -> Iterator[Callable[[str, Job], "Future[JobOutcome]"]]:
        def submit(name: str, job: Job) -> "Future[JobOutcome]":
            future: Future[JobOutcome] = Future()
            future.set_result(type(self).outcome(job))
            return future

        yield submit


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tuning, "JobRunner", MadeUpTrials)
    monkeypatch.setattr(tuning, "_train_best", lambda *_: 0)
    return tmp_path


def tune(folder: Path, *words: str) -> pd.DataFrame:
    """Tune, and return the table of trials as text."""
    assert tuning.tune([*words, *SHARED, f"runs_dir={folder}"]) == 0
    return pd.read_csv(folder / "made-up" / "tuning" / "trials.csv", dtype=str, keep_default_na=False)


def dry_run(folder: Path, *words: str) -> list[str]:
    """Return what is still to be done of each strategy."""
    text = tuning.forecast_tuning([*words, *SHARED, f"runs_dir={folder}"])
    return [line.partition(" and ")[0] for line in text.splitlines()[:-2]]


def test_a_second_tuning_leaves_the_first_in_the_table_and_done(folder: Path) -> None:
    assert dry_run(folder, *TWO_FIRST) == ["id: 4 trials", "lst_cached: 4 trials"]
    assert not list(folder.iterdir())
    first = tune(folder, *TWO_FIRST)
    second = tune(folder, "strategy=lora", "budget.trials=3", "pruner=none", "item_knn=false")
    assert second["strategy"].value_counts().to_dict() == {"id": 4, "lst_cached": 4, "item_knn": 4, "lora": 3}
    pd.testing.assert_frame_equal(second[second["strategy"] != "lora"][first.columns], first)
    assert dry_run(folder, *TWO_FIRST) == ["id: 0 trials", "lst_cached: 0 trials"]
    assert dry_run(folder, "strategy=lora,frozen", "budget.trials=5", "pruner=none")[0] == "lora: 2 trials"


def test_tables_hold_what_commands_before_tuned_on_the_same_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a row that was tuned before would stand there as if it had not been."""
    held = {}

    def keep(_: object, learnt: Learnt, __: object) -> int:
        held["compared"] = list(learnt.compared())
        learnt.write_curves("hr@10")
        return 0

    monkeypatch.setattr(tuning, "_train_best", keep)
    tune(folder, *TWO_FIRST, "pruner=none", "sampler=random")
    tune(folder, "strategy=lora", "budget.trials=3", "item_knn=false")
    assert held["compared"] == ["id", "lst_cached", "item_knn", "lora"]
    curves = pd.read_csv(folder / "made-up" / "tuning" / "budget.csv")
    assert {"id", "lst_cached"} <= {*curves["strategy"]}
    tune(folder, "strategy=frozen", "budget.trials=3", "item_knn=false", "data.windows=all")
    assert held["compared"] == ["frozen"]
    tune(folder, "strategy=bitfit", "budget.trials=3", "item_knn=false", "evaluation.mask_history=none")
    assert held["compared"] == ["bitfit"]


def test_a_table_that_was_removed_comes_back_whole(folder: Path) -> None:
    first = tune(folder, "strategy=id,frozen_cached", "user_encoder=sasrec,ligr", "budget.trials=3", "item_knn=false")
    (folder / "made-up" / "tuning" / "trials.csv").unlink()
    again = tune(folder, "strategy=id", "user_encoder=sasrec,ligr", "budget.trials=3", "item_knn=false")
    in_order = [table.sort_values(["strategy", "user_encoder", "trial"], ignore_index=True) for table in (again, first)]
    pd.testing.assert_frame_equal(in_order[0], in_order[1])


def test_what_was_interrupted_is_still_to_be_done_and_seconds_are_those_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupts_the_last(job: Job) -> JobOutcome:
        is_last = job.label == "id trial 2"
        return (
            JobOutcome(label="", overrides=[], status="interrupted", seconds=0.0) if is_last else unstopped_trial(job)
        )

    monkeypatch.setattr(MadeUpTrials, "outcome", staticmethod(interrupts_the_last))
    words = ("strategy=id", "pruner=none", "item_knn=false")
    tune(folder, *words, "budget.trials=3")
    assert dry_run(folder, *words, "budget.trials=5") == ["id: 3 trials"]
    assert dry_run(folder, *words, "budget.seconds=20") == ["id: 12 s of trials"]  # a made-up trial trains for four


def test_a_dry_run_refuses_what_the_tuning_refuses(folder: Path) -> None:
    words = ("strategy=id", "item_knn=false", "budget.trials=2")
    tune(folder, *words)
    for asked, says in (
        (
            [*words, "sampler_seed=7"],
            "drawn for another sampler_seed; go on with the former settings, or set name=NAME",
        ),
        ([*words, "user_encoder=sasrec,ligr"], "holds a tuning of strategies alone"),
    ):
        for ask in (dry_run, tune):
            with pytest.raises(SettingsError, match=says):
                ask(folder, *asked)
