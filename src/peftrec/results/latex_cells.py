"""The cells of the LaTeX table: values in the unit of their column's head, what stands out, and how wide each is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from peftrec.results.comparison import QUALITY, SHOWN, Comparison, table
from peftrec.results.latex_text import SMALL, text_width
from peftrec.results.names import Column, column
from peftrec.results.tables import best_cells, second_cells

MARK = "*"
BOLD = 1.17  # times as wide as plain
SPACES = 0.34  # em; two of a sixth


@dataclass(frozen=True)
class Cell:
    """What stands in a cell, and how wide that is in em."""

    text: str = ""
    width: float = 0.0


@dataclass(frozen=True)
class Cells:
    """The table without the names of its rows."""

    columns: Mapping[str, Column]
    rows: tuple[tuple[Cell, ...], ...]
    has_marks: bool

    def widths(self) -> list[float]:
        """Return what each column takes in em, heads included."""
        return [
            max(text_width(head.name), text_width(head.unit), *(row[place].width for row in self.rows))
            for place, head in enumerate(self.columns.values())
        ]


def cells_of(comparison: Comparison, significance: pd.DataFrame) -> Cells:
    """Return the cells; `significance` are the tests of all pairs, empty where there are none."""
    frame, best, second = table(comparison), best_cells(comparison), second_cells(comparison)
    worse = worse_than_best(comparison, significance)
    columns = shown_columns(frame)
    rows = [
        tuple(
            _cell(
                values[name],
                spread=values.get(f"{name}_std") if name in QUALITY else None,
                column=each,
                is_best=bool(best.loc[place, name]),
                is_second=bool(second.loc[place, name]),
                mark=MARK if (values["strategy"], name) in worse else _disturbed(comparison, values["strategy"], name),
            )
            for name, each in columns.items()
        )
        for place, values in enumerate(frame.to_dict("records"))
    ]
    return Cells(columns, tuple(rows), has_marks=bool(worse))


def _disturbed(comparison: Comparison, strategy: str, name: str) -> str:
    """Return the mark of seconds that other work, or their own scatter, disturbed; a note says by what."""
    return r"\dagger" if name == "seconds_per_epoch" and strategy in comparison.seconds.disturbed else ""


def worse_than_best(comparison: Comparison, significance: pd.DataFrame) -> frozenset[tuple[str, str]]:
    """Return the rows and metrics that a test tells from the bold one; its p-values are corrected over all pairs."""
    best = best_cells(comparison)
    labels = [row.strategy for row in comparison.rows]
    worse: set[tuple[str, str]] = set()
    for test in significance.to_dict("records"):
        metric, pair = str(test["metric"]), (str(test["strategy_a"]), str(test["strategy_b"]))
        if metric in best.columns and test["is_significant"]:
            is_best = [bool(best.loc[labels.index(label), metric]) for label in pair]
            worse |= {(other, metric) for other, bold in zip(pair[::-1], is_best, strict=True) if bold}
    return frozenset(worse)


def shown_columns(frame: pd.DataFrame) -> dict[str, Column]:
    """Return the columns that have values; seeds where rows differ in them, else the caption says how many."""
    names = [name for name in SHOWN[1:] if frame[name].notna().any()]
    if len(set(frame.loc[frame["status"] == "success", "seeds"])) == 1:
        names.remove("seeds")
    return {name: column(name, [float(value) for value in frame[name].dropna()]) for name in names}


def _cell(value: Any, *, spread: Any, column: Column, is_best: bool, is_second: bool, mark: str) -> Cell:
    if pd.isna(value):
        return Cell()
    text = column.text(float(value))
    width = text_width(text) * (BOLD if is_best else 1)
    shown = f"\\textbf{{{text}}}" if is_best else f"\\underline{{{text}}}" if is_second else text
    if spread is not None and not pd.isna(spread):
        deviation = column.text(float(spread))
        shown += f"{{\\scriptsize\\,$\\pm$\\,{deviation}}}"
        width += SMALL * text_width(f"±{deviation}") + SPACES
    return Cell(shown + (f"\\rlap{{$^{{{mark}}}$}}" if mark else ""), width)  # beside the figures, which stay in line
