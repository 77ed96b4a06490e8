"""The verb `peftrec report RUNS_DIR`: tables, figures and a page from records alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from peftrec.errors import RecordError, UserError
from peftrec.files import write_atomically
from peftrec.outputs.safe_text import for_line, for_markdown_sentence
from peftrec.results import figures, tables, tested_text
from peftrec.results.asked import NOTHING, Asked
from peftrec.results.comparison import Comparison, compare, table
from peftrec.results.divisions_table import EXPLAINED, beside_runs
from peftrec.results.latex import TWO_COLUMNS, to_latex
from peftrec.results.published import Published, beside
from peftrec.results.recomputed import without_contradictions
from peftrec.results.report.curves import read_budget
from peftrec.results.report.page import page
from peftrec.results.runs import Run, find_runs
from peftrec.results.tested import Tested, infer
from peftrec.results.tpme_reference import CostChoices

FOLDER = "report"
GROUPS_FILE, PUBLISHED_FILE = "groups.md", "published.md"
_OPENINGS = {GROUPS_FILE: "Groups of users (`peftrec groups`).", PUBLISHED_FILE: "Published: "}
"""How the files begin that not every report has: one that lies there from a report before says what holds no more."""


@dataclass(frozen=True)
class Report:
    """Files for a folder, and the comparison that they show."""

    directory: Path
    contents: Mapping[str, bytes]
    """By the names of the files."""
    comparison: Comparison
    tested: Tested
    """Intervals and tests, or why there are none."""
    beside_published: str
    """Markdown with a paper's figures beside the measured ones; empty where none was asked for."""
    divisions: str
    """Markdown with divisions of users into groups beside the runs they were made from; empty where there is none."""

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.directory / name for name in self.contents)

    def to_terminal(self) -> str:
        """Return the table, its notes, and what intervals and tests claim."""
        claims = "".join(f"- {for_line(line)}\n" for line in tested_text.sentences(self.tested))
        published = f"\n{self.beside_published}" if self.beside_published else ""
        divisions = f"\n{self.divisions}" if self.divisions else ""
        return f"{tables.to_terminal(self.comparison)}{claims}{divisions}{published}"

    def write(self) -> None:
        """Write the files, and remove what a report before had to say and this one has not. Raises UserError where
        they cannot be written."""
        openings = {name: opening for name, opening in _OPENINGS.items() if name not in self.contents}
        write_files(self.directory, self.contents, stale=openings)


def write_files(
    directory: Path, contents: Mapping[str, bytes], *, stale: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write files by their names, and remove those of `stale` that begin as it says: a file of that name which the user
    put there stays. Raises UserError where they cannot be written."""
    try:
        for name, content in contents.items():
            write_atomically(directory / name, content)
        for name, opening in stale.items():
            if (file := directory / name).is_file() and file.read_bytes().startswith(opening.encode()):
                file.unlink()
    except OSError as error:
        raise UserError(
            f"{directory}: cannot be written ({error.strerror}), so that the report is not there as files; "
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
    asked: Asked = NOTHING,
) -> Report:
    """Return the report of the records below `runs`; the same records give the same bytes.

    Records that cannot be read, and those whose figures are not what their ranks give, are named and left out.
    Raises RecordError where nothing is left.
    """
    return report_on(runs, compare_folder(runs, choices), published, choices, asked)


def report_on(
    runs: Path, comparison: Comparison, published: Published | None, choices: CostChoices, asked: Asked
) -> Report:
    """Return the report of a folder whose runs were compared."""
    return report_of(comparison, infer(comparison, asked), runs / FOLDER, choices, published, read_budget(runs))


def compare_folder(runs: Path, choices: CostChoices) -> Comparison:
    """Compare the runs below a folder, but those that `build_report` leaves out. Raises RecordError where none is
    left."""
    unreadable: list[str] = []
    return compare_runs(find_runs(runs, unreadable=unreadable), choices, unreadable)


def compare_runs(runs: Sequence[Run], choices: CostChoices, unreadable: Sequence[str] = ()) -> Comparison:
    """Compare runs, but those whose figures are not what their ranks give. Raises RecordError where none is left."""
    kept, contradicted = without_contradictions(runs)
    if not kept:
        raise RecordError("\n".join([*unreadable, *contradicted]))
    return compare(kept, choices, [*unreadable, *contradicted])


def report_of(
    comparison: Comparison,
    found: Tested,
    directory: Path,
    choices: CostChoices,
    published: Published | None = None,
    budget: pd.DataFrame | None = None,
) -> Report:
    """Return the files for `directory` that show a comparison."""
    divided, unreadable = beside_runs(comparison.strategies)
    pictures = figures.quality_vs_tpme(comparison) | figures.quality_vs_costs(comparison)
    contents = {
        "table.csv": tables.to_csv(table(comparison)),
        "table.md": tables.to_markdown(comparison),
        "table.tex": to_latex(comparison, found.pairs),
        "table_two_column.tex": to_latex(comparison, found.pairs, TWO_COLUMNS),
        "segments.csv": tables.to_csv(tables.segments(comparison)),
        "segments.md": tables.segments_markdown(comparison),
        "intervals.csv": tables.to_csv(found.means),
        "significance.csv": tables.to_csv(found.pairs),
        "significance.md": tested_text.to_markdown(found, comparison.experiments),
        "index.html": page(comparison, found, directory, choices, budget, divided),
    }
    divisions = ""
    if len(divided) or unreadable:
        divisions = contents[GROUPS_FILE] = _divisions(divided, unreadable)
    beside_published = ""
    if published is not None:
        beside_published = contents[PUBLISHED_FILE] = _beside_published(comparison, published)
    every = {name: text.encode() for name, text in contents.items()} | pictures
    return Report(directory, every, comparison, found, beside_published, divisions)


def _divisions(divided: pd.DataFrame, unreadable: Sequence[str]) -> str:
    """Return the table of what was divided, and a line for each that cannot be read."""
    grid = f" {EXPLAINED}\n\n{tables.markdown_grid(divided)}" if len(divided) else "\n"
    left_out = "".join(f"\n- left out: {for_markdown_sentence(line)}\n" for line in unreadable)
    return _OPENINGS[GROUPS_FILE] + grid + left_out


def _beside_published(comparison: Comparison, published: Published) -> str:
    return f"{_OPENINGS[PUBLISHED_FILE]}{published.source}; {published.setting}.\n\n" + tables.markdown_grid(
        beside(comparison, published)
    )
