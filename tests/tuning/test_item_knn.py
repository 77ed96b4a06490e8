"""Item-kNN's trials rank validation users, and the test users once, for what was chosen."""

from pathlib import Path

import pytest

from peftrec.evaluation.baselines import item_knn_baseline
from peftrec.training.building.reading import prepare_data
from peftrec.training.run import scoring
from peftrec.training.run.scoring import baseline_cases, training_matrix
from peftrec.tuning.item_knn import ItemKnnSettings, item_knn_space, open_item_knn, tune_item_knn
from peftrec.tuning.journal import opened_journal
from peftrec.tuning.settings import Budget, TuneSettings
from small_runs import small_settings

pytest.importorskip("optuna")


def test_it_is_chosen_by_validation_and_tested_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small_settings(tmp_path, "id", data={"num_users": 120})
    split = prepare_data(run)
    parts: list[str] = []

    def watched(split_: object, cases: object, evaluation: object) -> object:
        parts.append("test" if cases is split.test else "validation")
        return baseline_cases(split, cases, evaluation)  # type: ignore[arg-type]

    monkeypatch.setattr(scoring, "baseline_cases", watched)
    settings = TuneSettings(budget=Budget(trials=6))
    with opened_journal(tmp_path / "tuning") as storage:
        study = open_item_knn(storage, item_knn_space(), settings, {})
        figures = tune_item_knn(study, settings, run, split)
        results = study.results()
    assert parts == ["validation", "test"]
    assert [result.state for result in results] == ["complete"] * 6
    assert {result.role for result in results[1:]} == {"independent"}
    best = study.best()
    assert best is not None
    method = ItemKnnSettings(**best.changes).method()  # type: ignore[arg-type]
    training = training_matrix(split)
    validation = item_knn_baseline(training, baseline_cases(split, split.validation, run.evaluation), method)
    assert best.value == validation["hr@10"] == max(result.value or 0.0 for result in results)
    assert figures == item_knn_baseline(training, baseline_cases(split, split.test, run.evaluation), method)
