"""`peftrec.compare`: finished runs side by side, as `peftrec report` has them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from peftrec.errors import SettingsError, expected_one_of
from peftrec.results import figures, tables, tested_text
from peftrec.results.asked import Asked
from peftrec.results.comparison import Comparison, table
from peftrec.results.named_run import named_run
from peftrec.results.record import read_record
from peftrec.results.report.curves import read_budget
from peftrec.results.report.report import FOLDER, Report, compare_folder, compare_runs, report_of
from peftrec.results.reweighed import reweighed
from peftrec.results.runs import Run
from peftrec.results.tested import Tested, infer
from peftrec.results.tpme import PAPER_WEIGHTS, TpmeWeights
from peftrec.results.tpme_reference import CostChoices
from peftrec.serving.given import RUN, given_list, given_number, given_path, given_switch, given_texts

if TYPE_CHECKING:
    from peftrec.serving.loaded_run import LoadedRun

Place = str | Path


@dataclass(frozen=True, kw_only=True)
class ComparedRuns:
    """Strategies over their seeds, what they cost, and which differences are more than chance.

    In a notebook it shows itself as the table; `print` gives what `peftrec report` prints.
    """

    comparison: Comparison
    """The same as this package has it inside, which may change between versions."""
    choices: CostChoices
    asked: Asked
    home: Path | None
    """The folder whose runs are compared; None where they were named one by one."""

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a strategy, then the baselines, in base units: quality as a fraction, seconds, bytes. Columns are
        those of `table.csv` in a report: first `strategy`, `seeds`, `hr@10`, `ndcg@10`, `seconds_per_epoch`,
        `trainable_parameters`, `peak_memory_bytes` and `tpme`, then spread and detail. A missing cell is `<NA>`."""
        return table(self.comparison)

    @property
    def means(self) -> pd.DataFrame:
        """95 % intervals: a row a metric and strategy, with `mean`, `ci_low`, `ci_high`, and as `claim` whether they
        hold for `these seeds` or `any seeds`. Empty where records lie without their ranks; a note then says so."""
        return self._tested.means

    @property
    def pairs(self) -> pd.DataFrame:
        """Every pair of strategies: `difference` with its interval, `p_value`, `p_holm` (corrected over all pairs) and
        `verdict`."""
        return self._tested.pairs

    @property
    def segments(self) -> pd.DataFrame:
        """Quality by segment of the test users: warm or cold target, head or tail item, history length."""
        return tables.segments(self.comparison)

    @property
    def claims(self) -> tuple[str, ...]:
        """What intervals and tests allow to be said, a sentence each."""
        return tuple(tested_text.sentences(self._tested))

    @property
    def notes(self) -> tuple[str, ...]:
        """What makes rows less comparable than they look, a sentence each: read them first."""
        return self.comparison.notes

    @property
    def protocol(self) -> tuple[str, ...]:
        """How it was measured, a sentence each."""
        return self.comparison.protocol

    @cached_property
    def figures(self) -> Mapping[str, str]:
        """`quality_vs_tpme` and `quality_vs_costs`, as SVG."""
        drawn = figures.quality_vs_tpme(self.comparison) | figures.quality_vs_costs(self.comparison)
        return {name.removesuffix(".svg"): data.decode() for name, data in drawn.items() if name.endswith(".svg")}

    def tpme(
        self,
        *,
        time: float = PAPER_WEIGHTS.time,
        parameters: float = PAPER_WEIGHTS.parameters,
        memory: float = PAPER_WEIGHTS.memory,
        among: Iterable[str] | None = None,
        amortises_stores: bool = False,
    ) -> pd.Series:
        """Return TPME of each strategy under these weights, which sum to 1; the paper's where none are given.

        TPME is relative to its set: `among` names the strategies that make it, all of them by default. With
        `amortises_stores` the seconds of an epoch hold the strategy's share of what building its store took.

        Raises RecordError where it is not defined: one strategy, one epoch, different devices or conditions, and
        SettingsError for a weight that is no number.
        """
        alphas = {"time": time, "parameters": parameters, "memory": memory}
        weights = TpmeWeights(**{name: given_number(name, alpha) for name, alpha in alphas.items()})
        names = None if among is None else given_texts("among", among, 'among=["lora", "full"]')
        amortises = given_switch("amortises_stores", amortises_stores)
        found = reweighed(self.comparison, self.choices, weights, among=names, amortises_stores=amortises)
        return pd.Series(found, name="tpme", dtype=float)

    def write(self, folder: Place | None = None) -> tuple[Path, ...]:
        """Write the files of `peftrec report` and return their paths; `index.html` is the page. They lie in `folder`,
        or in `report` below the folder that was compared. Files of before are replaced.

        Raises UserError where they cannot be written.
        """
        if folder is None and self.home is None:
            raise SettingsError("write: these runs were named one by one; say which folder the report shall lie in")
        place = None if folder is None else given_path("folder", folder, 'write("report")')
        report = self._report(self.home / FOLDER if place is None else place)  # type: ignore[operator]
        report.write()
        return report.files

    def __str__(self) -> str:
        return self._report(self.home or Path()).to_terminal()

    def _repr_markdown_(self) -> str:
        return tables.to_markdown(self.comparison)

    @cached_property
    def _tested(self) -> Tested:
        return infer(self.comparison, self.asked)

    def _report(self, directory: Path) -> Report:
        budget = None if self.home is None else read_budget(self.home)
        return report_of(self.comparison, self._tested, directory, self.choices, budget=budget)


def compare(
    runs: "Place | LoadedRun | Iterable[Place | LoadedRun]",
    *,
    margin: float | None = None,
    wish: float | None = None,
    conditions: Literal["same", "mixed"] = "same",
) -> ComparedRuns:
    """Compare the runs below a folder, or some runs: folders, or what `load_run` and `train` return. The hash of a
    run's folder may be left out where that names one run.

        compare("runs/quickstart").table
        compare([run, "runs/default/lora"]).write("report")

    Reads records, and neither data nor models. `margin` and `wish` are differences of `hr@10` and `ndcg@10` that do not
    matter, and that should be found; `conditions="mixed"` compares costs that were measured under different conditions.
    All three are those of `peftrec report`.

    Raises RecordError where there is no finished run, or runs differ in data, split, evaluation or device.
    """
    if conditions not in ("same", "mixed"):
        raise SettingsError(f"conditions={conditions}: {expected_one_of(('same', 'mixed'), str(conditions))}")
    asked = Asked.read(*(None if value is None else str(value) for value in (margin, wish)))
    choices = CostChoices(conditions=conditions)
    home = None
    if isinstance(runs, str | PathLike):
        home = Path(runs) if Path(runs).is_dir() else named_run(Path(runs))
        comparison = compare_folder(home, choices)
    else:
        comparison = compare_runs([_read(each) for each in _several(runs)], choices)
    return ComparedRuns(comparison=comparison, choices=choices, asked=asked, home=home)


def _several(runs: object) -> list[object]:
    if _folder_of_loaded(runs) is not None:
        return [runs]
    if several := given_list("runs", runs, "a folder or a list of runs", 'compare("runs/first")'):
        return several
    raise SettingsError("compare: expected runs, found none; train first, or name their folder")


def _read(run: object) -> Run:
    folder = _folder_of_loaded(run) or named_run(given_path("runs", run, f"compare([{RUN}])"))
    return Run(read_record(folder), folder)


def _folder_of_loaded(run: object) -> Path | None:
    """Return the folder of what `load_run` gives, whose class would bring torch; None for anything else."""
    folder = getattr(run, "directory", None)
    return folder if isinstance(folder, Path) else None
