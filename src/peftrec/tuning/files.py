"""The files of a tuning's folder: every trial, curves of quality against budget, the table, and what was learnt."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from peftrec.config.roles import roles_of
from peftrec.files import write_atomically
from peftrec.results.comparison import Comparison
from peftrec.results.costs import Metrics
from peftrec.results.tables import to_csv
from peftrec.settings.run import Settings, settings_to_config
from peftrec.settings.run_identity import deciding_config
from peftrec.tuning.expectation import BudgetCurve
from peftrec.tuning.figure import draw_curves
from peftrec.tuning.item_knn import NAME, open_item_knn, tune_item_knn
from peftrec.tuning.learnt import budget_curves, curves_table, importances, notes
from peftrec.tuning.settings import TuneSettings
from peftrec.tuning.spaces import Space
from peftrec.tuning.study import StrategyStudy
from peftrec.tuning.tables import budget_line, is_final, seeds_text, to_markdown, trials_table, tuned_table

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

TRIALS_FILE = "trials.csv"
_OF_DATA = ("data", "towers", "evaluation")
"""What of a run's settings decides which users and items item-kNN ranks."""


@dataclass
class Learnt:
    """What the studies hold, written for people."""

    folder: Path
    settings: TuneSettings
    studies: dict[str, StrategyStudy]
    """By name."""
    others: dict[str, StrategyStudy] = field(default_factory=dict)
    """What the folder's journal held when the command began: its own of before, and those of other commands."""
    baselines: dict[str, Metrics] = field(default_factory=dict)
    """Test figures of what was tuned and needs no training."""

    def write_trials(self) -> None:
        """Write one row a trial, of all that was tuned in this folder."""
        self._write(TRIALS_FILE, to_csv(trials_table(list((self.others | self.studies).values()))))

    def add_item_knn(self, storage: "BaseStorage", space: Space, run: Settings) -> None:
        """Tune item-kNN on the data of a run, in this process."""
        from peftrec.training.building.reading import prepare_data

        deciding = deciding_config(settings_to_config(run), roles_of(run))
        study = open_item_knn(storage, space, self.settings, {key: deciding[key] for key in _OF_DATA})
        figures = tune_item_knn(study, self.settings, run, prepare_data(run))
        self.studies[NAME] = study
        if figures is not None:
            self.baselines[NAME] = figures
        self.write_trials()

    def compared(self) -> dict[str, StrategyStudy]:
        """Return the studies of this command, and those of commands before that can stand beside them: of the same
        data, chosen by the same metric."""
        own = next(iter(self.studies.values()))
        data = _data_hashes(self.studies.values())
        beside = {
            name: study
            for name, study in self.others.items()
            if name not in self.studies and _asked(study) == _asked(own) and _data_hashes([study]) <= data
        }
        return beside | self.studies

    def write_curves(self, monitor: str) -> list[BudgetCurve]:
        """Write the curves, which the report shows too, and their figure."""
        compared = self.compared()
        curves = budget_curves(list(compared.values()))
        self._write("budget.csv", to_csv(curves_table(curves)))
        trained = [curve for curve in curves if curve.strategy != NAME]
        best = compared[NAME].best() if NAME in compared else None
        untrained = {f"{NAME}, tuned": best.value} if best is not None and best.value is not None else {}
        write_atomically(self.folder / "budget.svg", draw_curves(trained, monitor, untrained))
        return curves

    def write_tables(self, comparison: Comparison, curves: Sequence[BudgetCurve]) -> list[str]:
        """Write importances and the table; return what was learnt, in sentences."""
        compared = self.compared()
        studies = list(compared.values())
        told = notes(studies, curves)
        frame = tuned_table(comparison, compared, self.baselines)
        rows = [row for row in comparison.rows if any(is_final(row, study) for study in self.studies.values())]
        before = [study.label for name, study in compared.items() if name not in self.studies]
        had = budget_line(
            [study.combination for study in studies], self.settings, seeds_text(rows, self.settings.final_seeds), before
        )
        self._write("importance.json", json.dumps({each.label: importances(each) for each in studies}, indent=2))
        self._write("table.csv", to_csv(frame))
        self._write("table.md", to_markdown(frame, [had, *told]))
        return told

    def _write(self, name: str, text: str) -> None:
        write_atomically(self.folder / name, text.encode())


def _asked(study: StrategyStudy) -> list[JsonValue]:
    """Return the data and the evaluation that a study was planned with, with those of its settings or, where nothing is
    trained, alone."""
    shared = study.plan.get("settings", study.plan)
    assert isinstance(shared, Mapping)
    return [shared["data"], shared["evaluation"]]


def _data_hashes(studies: Iterable[StrategyStudy]) -> set[str]:
    """Return what tells the data that trials saw; item-kNN's trials keep no such hash."""
    found = {result.comparison_hash for study in studies for result in study.results()}
    return {each for each in found if each is not None}
