"""Settings of one strategy that were tried are chosen by validation, and only the chosen one may be best."""

from collections.abc import Callable
from pathlib import Path

import pytest

from peftrec.results.comparison import compare, table
from peftrec.results.record import read_record, write_record
from peftrec.results.runs import find_runs
from peftrec.results.tables import best_cells, readable, second_cells

CHOSEN, OTHER = "lora (introduced=0.001)", "lora (introduced=0.01)"


def try_another(experiment: Path, key: str, value: object, *, validation: float, test: float) -> None:
    """Put runs beside those of lora that differ from them in one key, in validation and in test figures."""
    for seed in (1, 2):
        record = read_record(experiment / f"lora-example{seed}")
        group, name = key.split(".")
        for each, new, figures in ((record, None, None), (record.model_copy(deep=True), value, (validation, test))):
            node = each.config.setdefault(group, {})
            assert isinstance(node, dict)
            node[name] = 0.001 if new is None else new  # type: ignore[assignment]
            if figures is not None:
                assert each.evaluation is not None
                each.run_id = f"lora-tried{seed}"
                each.question_hash += "tried"
                each.evaluation.validation["hr@10"], each.evaluation.test["hr@10"] = figures
            else:
                assert each.evaluation is not None
                each.evaluation.validation["hr@10"] = 0.2
            write_record(each, experiment / each.run_id)


@pytest.mark.parametrize(("validation", "is_chosen"), [(0.1, False), (0.3, True)])
def test_validation_chooses_and_the_test_set_does_not(experiment: Path, validation: float, is_chosen: bool) -> None:
    try_another(experiment, "learning_rates.introduced", 0.01, validation=validation, test=0.99)
    comparison = compare(find_runs(experiment))
    frame = table(comparison).set_index("strategy")
    assert frame.loc[OTHER, "hr@10"] == frame["hr@10"].max() == 0.99
    assert (bool(frame.loc[OTHER, "is_chosen"]), bool(frame.loc[CHOSEN, "is_chosen"])) == (is_chosen, not is_chosen)
    assert frame.loc[OTHER, "validation_hr@10"] == pytest.approx(validation)
    assert frame["is_chosen"].notna().sum() == 2
    labels = [row.strategy for row in comparison.rows]
    assert bool(best_cells(comparison).loc[labels.index(OTHER), "hr@10"]) is is_chosen
    assert not second_cells(comparison).loc[labels.index(CHOSEN if is_chosen else OTHER)].any()
    loser = CHOSEN if is_chosen else OTHER
    assert f"{loser}, not chosen" in readable(comparison)["strategy"].tolist()
    assert any(note.endswith(f"never marked as best: {loser}.") for note in comparison.notes)


def test_what_differs_in_kind_is_compared_and_not_chosen_among(experiment: Path) -> None:
    try_another(experiment, "strategy.layers", "all", validation=0.1, test=0.99)
    comparison = compare(find_runs(experiment))
    frame = table(comparison)
    assert frame["is_chosen"].isna().all()
    assert best_cells(comparison).loc[frame["hr@10"].idxmax(), "hr@10"]


def test_a_folder_without_tries_makes_no_choice(experiment: Path, add_run: Callable[..., Path]) -> None:
    comparison = compare(find_runs(experiment))
    assert table(comparison)["is_chosen"].isna().all()
    assert not any("not chosen" in note for note in comparison.notes)
