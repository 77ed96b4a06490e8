"""The table of a comparison as LaTeX: a float that fits its page and needs the package booktabs and nothing else.

`table.tex` is for pages of one column, `table_two_column.tex` spans both of two. How much room a column takes is
reckoned from the widths of Computer Modern's characters, so that the names of the rows, which may break, get what is
left; tests/results/test_latex.py compiles both and finds no overfull box.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from peftrec.results.comparison import Comparison
from peftrec.results.latex_cells import MARK, Cells, cells_of
from peftrec.results.latex_text import breakable_latex, escape_latex, text_width
from peftrec.results.names import Column, row_names
from peftrec.results.pscp import PSCP_LINE
from peftrec.results.rows import BASELINE


@dataclass(frozen=True)
class Layout:
    """A kind of page."""

    environment: str
    width: float
    """What a table may take, in points."""


@dataclass(frozen=True)
class Fit:
    """How a table fits its page."""

    font: str
    name_width: float
    """Of the column of names, in em."""


ONE_COLUMN = Layout("table", 345.0)
TWO_COLUMNS = Layout("table*", 469.0)
r"""article's \textwidth, and that with its option twocolumn."""
FONTS = {"footnotesize": 8.5, "scriptsize": 7.97, "tiny": 6.81}
"""Size to its em in points, of Computer Modern in a document of 10 points."""
SEPARATION = 0.35  # em on each side of a column
HANGING = 1.0  # em by which a name's further lines are moved in
NARROWEST = 7.0  # em that names get in the smallest font, and below which a smaller one is taken
LONG_WORD = 20.0  # em from which a word of caption and notes may break


def to_latex(comparison: Comparison, significance: pd.DataFrame, layout: Layout = ONE_COLUMN) -> str:
    """Return the float; `significance` are the tests of all pairs, empty where there are none."""
    names, cells = row_names(comparison), cells_of(comparison, significance)
    notes = [
        _in_words(line, names, cells.columns)
        for line in (*comparison.protocol, *comparison.notes)
        if not line.startswith(PSCP_LINE)  # which is no column of these tables
    ]
    fitting = fit(names.values(), cells.widths(), layout)
    lines = [
        f"\\begin{{{layout.environment}}}[htbp]\n\\centering\n\\{fitting.font}",
        f"\\setlength{{\\tabcolsep}}{{{SEPARATION}em}}",
        f"\\caption{{{_caption(comparison, cells)}}}",
        "\\label{tab:comparison}",
        f"\\begin{{tabular}}{{@{{}}p{{{fitting.name_width:.2f}em}}{'r' * len(cells.columns)}@{{}}}}",
        *("\\toprule", *_head(cells.columns.values()), "\\midrule"),
        *_body(comparison, names, cells, fitting.name_width),
        *("\\bottomrule", "\\end{tabular}"),
        "\\begin{flushleft}\n\\scriptsize",
        "\n\n".join(breakable_latex(line, LONG_WORD) for line in notes),
        f"\\end{{flushleft}}\n\\end{{{layout.environment}}}\n",
    ]
    return "\n".join(lines)


def fit(names: Iterable[str], taken: Sequence[float], layout: Layout) -> Fit:
    """Return the largest font that leaves room for names beside columns that take so many em, and that room: what the
    longest name needs, or all that is left."""
    longest = max(map(text_width, names))
    for font, em in FONTS.items():
        left = layout.width / em - sum(taken) - 2 * SEPARATION * len(taken)
        if left >= min(longest, NARROWEST):
            return Fit(font, min(longest, left))
    return Fit(font, NARROWEST)


def _head(columns: Iterable[Column]) -> list[str]:
    columns = list(columns)
    names = " & ".join(["Method", *(escape_latex(each.name) for each in columns)])
    units = " & ".join(["", *(escape_latex(each.unit) for each in columns)])
    return [f"{names} \\\\", f"{units} \\\\"]


def _body(comparison: Comparison, names: Mapping[str, str], cells: Cells, width: float) -> list[str]:
    """Return a line a row, baselines below a rule, a status in place of the figures that a strategy lacks."""
    lines, rows = [], comparison.rows
    for place, (row, figures) in enumerate(zip(rows, cells.rows, strict=True)):
        if row.status == BASELINE and place and rows[place - 1].status != BASELINE:
            lines.append("\\midrule")
        name = f"\\raggedright\\hangindent={HANGING}em {breakable_latex(names[row.strategy], width - HANGING)}"
        if row.status in ("success", BASELINE):
            shown = " & ".join(cell.text for cell in figures)
        else:
            status = escape_latex(row.status.replace("_", " "))
            shown = f"\\multicolumn{{{len(figures)}}}{{l}}{{\\emph{{{status}}}}}"
        lines.append(f"{name} & {shown} \\\\")
    return lines


def _caption(comparison: Comparison, cells: Cells) -> str:
    most = max(len(row.runs) for row in comparison.strategies)
    experiments = ", ".join(comparison.experiments).replace("_", " ")
    sentences = [f"Adaptation strategies compared: {breakable_latex(experiments, LONG_WORD)}."]
    if most > 1:
        over = "the" if "seeds" in cells.columns else str(most)
        sentences.append(f"Quality is mean $\\pm$ standard deviation over {over} seeds.")
    else:
        sentences.append("One seed.")
    sentences.append("Best of the strategies in bold, second underlined.")
    if cells.has_marks:
        sentences.append(
            f"$^{{{MARK}}}$: differs from the bold one by more than chance over users, and over seeds where both have "
            "several ($p < 0.05$, corrected by Holm)."
        )
    return " ".join(sentences)


def _in_words(line: str, names: Mapping[str, str], columns: Mapping[str, Column]) -> str:
    """Return a sentence with the names of columns and rows, where they could be no words, as the table has them."""
    said = {label: name for label, name in names.items() if "_" in label}
    said |= {name: column.name for name, column in columns.items() if "_" in name}
    if not said:
        return line
    longest_first = sorted(said, key=len, reverse=True)
    pattern = rf"(?<![\w.])({'|'.join(map(re.escape, longest_first))})(?!\w)"
    return re.sub(pattern, lambda found: said[found[1]], line)
