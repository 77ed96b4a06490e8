"""What is said of a tuning, on studies that are told made-up figures."""

from collections.abc import Callable
from pathlib import Path

import pytest

from peftrec.tuning.combinations import Combination
from peftrec.tuning.journal import opened_journal
from peftrec.tuning.learnt import budget_curves, curves_table, importances, independent, notes
from peftrec.tuning.settings import Budget, TuneSettings
from peftrec.tuning.spaces import FloatRange, Space
from peftrec.tuning.study import StrategyStudy

pytest.importorskip("optuna")

RATE, OTHER = "learning_rates.introduced", "learning_rates.recommender"
SPACE = Space(
    dimensions={key: FloatRange(type="float", low=1e-4, high=1e-2, log=True) for key in (RATE, OTHER)},
)
Quality = Callable[[dict[str, float]], float]


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., StrategyStudy]:
    """A study whose trials find what a function of their values says; those it fails on have failed."""

    def make(quality: Quality, *, name: str = "lora", trials: int = 20, pruner: str = "none") -> StrategyStudy:
        settings = TuneSettings(budget=Budget(trials=trials), pruner=pruner)  # type: ignore[arg-type]
        with opened_journal(tmp_path) as storage:
            start = {RATE: 1e-3, OTHER: 1e-3}
            study = StrategyStudy(
                storage,
                combination=Combination(strategy=name),
                space=SPACE,
                starts=[("defaults", {}, start)],
                plan={},
                settings=settings,
            )
            for _ in range(trials):
                trial = study.ask()
                try:
                    value = quality(study.values_of(trial.number))  # type: ignore[arg-type]
                    study.tell(trial.number, state="complete", value=value, result={"value": value, "seconds": 2.0})
                except ArithmeticError:
                    study.tell(trial.number, state="failed", value=None, result={"error": "out_of_memory: none left"})
            return study

    return make


def test_trials_that_are_told_are_read_again(told: Callable[..., StrategyStudy]) -> None:
    study = told(lambda values: values[RATE])
    results = study.results()
    assert [result.number for result in results] == list(range(20))
    best = study.best()
    assert best is not None
    assert best.value == max(study.values_of(number)[RATE] for number in range(20))
    assert results[0].origin == "defaults"
    assert {result.origin for result in results[1:]} == {"random"}
    assert study.chosen_values(results[0]) == {RATE: 1e-3, OTHER: 1e-3}


def test_estimates_rest_on_independent_trials_alone(told: Callable[..., StrategyStudy]) -> None:
    assert [each.number for each in independent(told(lambda _: 0.1))] == list(range(1, 20))
    stopped = told(lambda _: 0.1, name="stopped", pruner="halving")
    assert [each.number for each in independent(stopped)] == list(range(1, 20, 2))
    table = curves_table(budget_curves([stopped]))
    assert table["trials"].tolist() == [1, 2, 3, 4, 5]
    assert table["expected_validation"].tolist() == pytest.approx([0.1] * 5)
    assert table["training_seconds"].tolist() == [2.0, 4.0, 6.0, 8.0, 10.0]


def test_what_mattered_is_the_key_that_decides(told: Callable[..., StrategyStudy]) -> None:
    found = importances(told(lambda values: -abs(values[RATE] - 3e-4), trials=40))
    assert found[RATE] > 0.7
    assert found[RATE] + found[OTHER] == pytest.approx(1)
    assert importances(told(lambda _: 0.1, name="few", trials=5)) == {}


def test_a_best_value_at_the_end_of_its_range_is_told(told: Callable[..., StrategyStudy]) -> None:
    text = "\n".join(notes([told(lambda values: values[RATE], trials=40)], []))
    assert f"the best {RATE} (" in text
    assert "lies at the upper end of its range, 0.0001 to 0.01" in text
    inside = told(lambda values: -abs(values[RATE] - 1e-3) - abs(values[OTHER] - 1e-3), name="inside")
    assert "end of its range" not in "\n".join(notes([inside], []))


def test_a_failure_is_a_result_that_counts(told: Callable[..., StrategyStudy]) -> None:
    def fails(values: dict[str, float]) -> float:
        if values[RATE] > 1.1e-3:
            raise ArithmeticError
        return 0.2

    study = told(fails)
    failed = [result for result in study.results() if result.state == "failed"]
    assert failed
    assert study.begun() == 20
    text = "\n".join(notes([study], budget_curves([study])))
    assert f"{len(failed)} trials failed and count: trial {failed[0].number}: out_of_memory: none left." in text
    assert f"the defaults (0.2000) beat {len(failed)} of 19 random trials." in text
    (curve,) = budget_curves([study])
    share = 1 - len(failed) / 19
    assert curve.expected[0] == pytest.approx(0.2 * share)
