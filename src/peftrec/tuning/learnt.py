"""What a tuning teaches besides its winners: curves of quality against budget, the defaults' place among random trials,
what mattered, and where a space ends too early."""

import warnings
from collections.abc import Iterator, Sequence

import pandas as pd

from peftrec.tuning.combinations import several_of
from peftrec.tuning.expectation import BudgetCurve, budget_curve, changed_orders
from peftrec.tuning.space_files import space_file
from peftrec.tuning.spaces import Choice
from peftrec.tuning.study import StrategyStudy, TrialResult

_EDGE = 0.05
"""Share of a range, on its own scale, that counts as its end."""
_FEWEST_FOR_IMPORTANCE = 10
"""Finished trials below which an importance is noise."""
_OF_A_FAILURE = 0.0
"""What a trial that failed found: it was drawn and paid for, and there is nothing to rank with."""


def independent(study: StrategyStudy) -> list[TrialResult]:
    """Return the trials that estimates may rest on."""
    return [result for result in study.results() if result.role == "independent" and result.state != "running"]


def budget_curves(studies: Sequence[StrategyStudy]) -> list[BudgetCurve]:
    """Return a curve for each combination that has independent trials enough."""
    curves = []
    for study in studies:
        trials = independent(study)
        values = [_OF_A_FAILURE if trial.value is None else trial.value for trial in trials]
        curve = budget_curve(study.label, values, [trial.seconds for trial in trials])
        if curve is not None:
            curves.append(curve)
    return curves


def curves_table(curves: Sequence[BudgetCurve]) -> pd.DataFrame:
    """Return one row a combination and number of trials."""
    return pd.DataFrame(
        [
            {
                "strategy": curve.strategy,
                "trials": n,
                "training_seconds": n * curve.seconds_per_trial,
                "expected_validation": curve.expected[n - 1],
                "ci95_low": curve.low[n - 1],
                "ci95_high": curve.high[n - 1],
                "unbiased": curve.unbiased[n - 1],
                "independent_trials": curve.num_trials,
            }
            for curve in curves
            for n in range(1, len(curve.expected) + 1)
        ],
        columns=[
            *("strategy", "trials", "training_seconds", "expected_validation", "ci95_low", "ci95_high", "unbiased"),
            "independent_trials",
        ],
    )


def importances(study: StrategyStudy) -> dict[str, float]:
    """Return what share of the difference between good and poor trials each key explains (PED-ANOVA: Watanabe et al.,
    IJCAI 2023); empty where too few trials ended, or one key alone is tuned."""
    complete = sum(result.state == "complete" for result in study.results())
    if complete < _FEWEST_FOR_IMPORTANCE or len(study.space.dimensions) < 2:  # noqa: PLR2004
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental
        found = get_param_importances(study.study, evaluator=PedAnovaImportanceEvaluator())
    return {key: float(value) for key, value in found.items()}


def notes(studies: Sequence[StrategyStudy], curves: Sequence[BudgetCurve]) -> list[str]:
    """Return what stands under the table, one sentence or two an entry."""
    return [
        *_failures(studies),
        *_codes(studies),
        *(note for study in studies for note in (*_default_place(study), *_edges(study), *_what_mattered(study))),
        *_orders(curves, several_of([study.combination for study in studies])),
    ]


def _failures(studies: Sequence[StrategyStudy]) -> Iterator[str]:
    for study in studies:
        failed = [result for result in study.results() if result.state == "failed"]
        if failed:
            yield f"{study.label}: {len(failed)} trials failed and count: trial {failed[0].number}: {failed[0].error}."


def _codes(studies: Sequence[StrategyStudy]) -> Iterator[str]:
    codes = {study.label: {each.code_hash for each in study.results() if each.code_hash} for study in studies}
    mixed = [label for label, hashes in codes.items() if len(hashes) > 1]
    if mixed:
        yield f"{', '.join(mixed)}: trials ran by different code, because it changed while the tuning had stopped."


def _default_place(study: StrategyStudy) -> Iterator[str]:
    """Say where the defaults lie among independent trials."""
    default = next((result for result in study.results() if result.number == 0), None)
    drawn = [result.value or _OF_A_FAILURE for result in independent(study)]
    if default is None or default.value is None or not drawn:
        return
    beaten = sum(value < default.value for value in drawn)
    yield f"{study.label}: the defaults ({default.value:.4f}) beat {beaten} of {len(drawn)} random trials."


def _edges(study: StrategyStudy) -> Iterator[str]:
    """Say where the best value lies at the end of its range, or outside."""
    best = study.best()
    if best is None:
        return
    values = study.values_of(best.number)
    for key, dimension in study.space.dimensions.items():
        place = None if isinstance(dimension, Choice) else dimension.place_of(values[key])
        if place is not None and not _EDGE <= place <= 1 - _EDGE:
            low, high = dimension.ends()
            end = "lower" if place < _EDGE else "upper"
            yield (
                f"{study.label}: the best {key} ({values[key]}) lies at the {end} end of its range, {low} to {high}, "
                f"or outside: widen it in {space_file(study.combination, key)}."
            )


def _what_mattered(study: StrategyStudy) -> Iterator[str]:
    found = importances(study)
    if found:
        told = ", ".join(f"{key} {share:.0%}" for key, share in found.items())
        yield f"{study.label}: of what parts good trials from poor ones, {told} (PED-ANOVA, over all that ended)."


def _orders(curves: Sequence[BudgetCurve], several: str) -> Iterator[str]:
    changes = changed_orders(curves)
    for change in changes:
        yield (
            f"The order changes with the budget: {change.first} leads {change.then} with {change.few} trials, and "
            f"{change.then} leads with {change.many} (95 % intervals of the differences leave out 0)."
        )
    if len(curves) > 1 and not changes:
        yield f"No pair of {several} changes its order with the budget, as far as 95 % intervals of the curves show."
