"""The verb `peftrec report RUNS_DIR`: tables, figures and a page from records alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from peftrec.errors import RecordError, UserError
from peftrec.files import write_atomically
from peftrec.results import figures, tables
from peftrec.results.comparison import Comparison, compare, table
from peftrec.results.latex import TWO_COLUMNS, to_latex
from peftrec.results.page import page
from peftrec.results.published import Published, beside
from peftrec.results.runs import find_runs
from peftrec.results.significance import COLUMNS, compare_pairs
from peftrec.results.tpme_reference import CostChoices

FOLDER = "report"
SCORE_TOLERANCE = 1e-4
"""Scores may have been summed in float32."""


@dataclass(frozen=True)
class Report:
    """Files for a folder, and the comparison that they show."""

    directory: Path
    contents: Mapping[str, bytes]
    """By the names of the files."""
    comparison: Comparison
    significance_problem: str | None
    """Why there are no per-user tests; null where there are."""
    beside_published: str
    """Markdown with a paper's figures beside the measured ones; empty where none was asked for."""

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.directory / name for name in self.contents)

    def to_terminal(self) -> str:
        """Return the table and its notes."""
        problem = f"- {self.significance_problem}\n" if self.significance_problem else ""
        published = f"\n{self.beside_published}" if self.beside_published else ""
        return f"{tables.to_terminal(self.comparison)}{problem}{published}"

    def write(self) -> None:
        """Write the files. Raises UserError where they cannot be written."""
        try:
            for file, content in zip(self.files, self.contents.values(), strict=True):
                write_atomically(file, content)
        except OSError as error:
            raise UserError(
                f"{self.directory}: cannot be written ({error.strerror}), so that the report is not there as files; "
                "make the folder writable, or copy the runs to one that is"
            ) from error


def write_report(runs: Path, published: Published | None = None) -> Report:
    """Write RUNS/report from the records below `runs`. Raises UserError where it cannot be written."""
    report = build_report(runs, published)
    report.write()
    return report


def build_report(
    runs: Path,
    published: Published | None = None,
    choices: CostChoices = CostChoices(),  # noqa: B008 - it is frozen
) -> Report:
    """Return the report of the records below `runs`; the same records give the same bytes."""
    comparison = compare(find_runs(runs), choices)
    tests, problem = _significance(comparison)
    pictures = figures.quality_vs_tpme(comparison) | figures.quality_vs_costs(comparison)
    directory = runs / FOLDER
    contents = {
        "table.csv": tables.to_csv(table(comparison)),
        "table.md": tables.to_markdown(comparison),
        "table.tex": to_latex(comparison, tests),
        "table_two_column.tex": to_latex(comparison, tests, TWO_COLUMNS),
        "segments.csv": tables.to_csv(tables.segments(comparison)),
        "segments.md": tables.segments_markdown(comparison),
        "significance.csv": tables.to_csv(tests),
        "index.html": page(comparison, pictures, tests, problem, directory),
    }
    beside_published = ""
    if published is not None:
        beside_published = contents["published.md"] = _beside_published(comparison, published)
    every = {name: text.encode() for name, text in contents.items()} | pictures
    return Report(directory, every, comparison, problem, beside_published)


def _beside_published(comparison: Comparison, published: Published) -> str:
    return f"Published: {published.source}; {published.setting}.\n\n" + tables.markdown_grid(
        beside(comparison, published)
    )


def _significance(comparison: Comparison) -> tuple[pd.DataFrame, str | None]:
    """Return the tests, or an empty table and the reason: records may travel without their ranks."""
    folders = {row.strategy: [run.folder for run in row.runs] for row in comparison.strategies}
    try:
        tests = compare_pairs(folders)
    except RecordError as error:
        return pd.DataFrame(columns=list(COLUMNS)), f"No per-user tests: {error}."
    _check_scores(comparison, tests)
    return tests, None


def _check_scores(comparison: Comparison, tests: pd.DataFrame) -> None:
    """Refuse ranks that do not give the recorded scores: one of the two files is from another run."""
    for row in comparison.strategies:
        for test in tests[tests["strategy_a"] == row.strategy].to_dict("records"):
            recorded = row.quality.get(test["metric"])
            if recorded is not None and abs(recorded.mean - test["mean_a"]) > SCORE_TOLERANCE:
                names = ", ".join(run.name for run in row.runs)
                raise RecordError(
                    f"{names}: {test['metric']} is {recorded.mean:.6f} in record.json but {test['mean_a']:.6f} by "
                    "ranks.parquet; the files are not of the same run, train it again"
                )
