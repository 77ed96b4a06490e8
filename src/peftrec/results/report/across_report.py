"""`peftrec report DIR_A DIR_B ...`: a report of each data set, and one of ranks across them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from peftrec.errors import RecordError
from peftrec.results import across_text, tables
from peftrec.results.across_data_sets import OverDataSets, over_data_sets, signed_rank_tests
from peftrec.results.across_text import Across
from peftrec.results.asked import NOTHING, Asked
from peftrec.results.comparison import QUALITY, Comparison
from peftrec.results.report.across_page import across_page
from peftrec.results.report.report import Report, compare_folder, report_on, write_files
from peftrec.results.significance import correct
from peftrec.results.tpme_reference import CostChoices

FOLDER = "report_across_data_sets"


@dataclass(frozen=True)
class AcrossReport:
    """The reports of several folders, and the files that compare them."""

    directory: Path
    contents: Mapping[str, bytes]
    """By the names of the files."""
    across: Across
    reports: Mapping[str, Report]
    """By the names of the data sets."""

    def to_terminal(self) -> str:
        """Return each data set's table, then the ranks."""
        parts = [f"{name}\n{report.to_terminal()}" for name, report in self.reports.items()]
        return "\n".join([*parts, across_text.to_terminal(self.across)])

    def write(self) -> None:
        """Write each report and the comparison of them. Raises UserError where they cannot be written."""
        for report in self.reports.values():
            report.write()
        write_files(self.directory, self.contents)


def build_across_report(
    folders: Sequence[Path],
    choices: CostChoices = CostChoices(),  # noqa: B008 - it is frozen
    asked: Asked = NOTHING,
) -> AcrossReport:
    """Return the report of folders that hold a data set each, to lie in the folder that holds them all.

    Raises RecordError where two of them are of one data set, or fewer than two strategies are in all.
    """
    names = dict(zip(_names(folders), folders, strict=True))
    compared = {name: compare_folder(folder, choices) for name, folder in names.items()}
    _check_data(compared)  # before the tests and figures, which take most of the time
    reports = {name: report_on(names[name], each, None, choices, asked) for name, each in compared.items()}
    over = [_over(metric, reports) for metric in QUALITY]
    pairs = [report.tested.pairs.assign(data_set=name) for name, report in reports.items() if len(report.tested.pairs)]
    across = Across(
        comparisons={name: report.comparison for name, report in reports.items()},
        over=tuple(over),
        signed_ranks=signed_rank_tests(over),
        pairs=correct(pd.concat(pairs, ignore_index=True)) if pairs else pd.DataFrame(),
        asked=asked,
        problems=tuple(f"{name}: {report.tested.problem}" for name, report in reports.items() if report.tested.problem),
    )
    directory = Path(os.path.commonpath([folder.resolve() for folder in folders])) / FOLDER
    links = {
        name: os.path.relpath(report.directory.resolve() / "index.html", directory) for name, report in reports.items()
    }
    contents = {
        "ranks.csv": tables.to_csv(across_text.ranks_table(across)),
        "signed_ranks.csv": tables.to_csv(across.signed_ranks),
        "differences.csv": tables.to_csv(across_text.pairs_first(across.pairs)),
        "across.md": across_text.to_markdown(across),
        "index.html": across_page(across, links),
    }
    return AcrossReport(directory, {name: text.encode() for name, text in contents.items()}, across, reports)


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the folders' own names where these tell them apart, else their paths."""
    resolved = [folder.resolve() for folder in folders]
    for one in resolved:
        inside = next((other for other in resolved if other is not one and one in (other, *other.parents)), None)
        if inside is not None:
            raise RecordError(f"{inside} is {one}, or lies in it; name folders that hold one data set each")
    names = [folder.name for folder in resolved]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _check_data(comparisons: Mapping[str, Comparison]) -> None:
    seen: dict[str, str] = {}
    for name, comparison in comparisons.items():
        data = next(run.record.provenance.data_hash for run in comparison.runs if run.is_success)
        if data in seen:
            raise RecordError(
                f"{seen[data]} and {name} are of the same data, and several data sets are compared here; for one "
                "table, move their runs into one folder and report that folder"
            )
        seen[data] = name


def _over(metric: str, reports: Mapping[str, Report]) -> OverDataSets:
    found = {
        name: {row.strategy: row.quality[metric].mean for row in report.comparison.strategies if metric in row.quality}
        for name, report in reports.items()
    }
    shared = [name for name in next(iter(found.values())) if all(name in scores for scores in found.values())]
    return over_data_sets(metric, {name: {each: scores[each] for each in shared} for name, scores in found.items()})
