"""Tables for pages: cells with their marks, and the templates that show them."""

from dataclasses import dataclass

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from peftrec.outputs.safe_text import for_terminal
from peftrec.results.comparison import Comparison
from peftrec.results.rows import BASELINE
from peftrec.results.tables import best_cells, readable


@dataclass(frozen=True)
class Cell:
    text: str = ""
    is_best: bool = False
    note: str = ""
    """What stands beneath it, smaller: an interval."""
    kind: str = ""
    """Class of the cell, or none."""


@dataclass(frozen=True)
class Line:
    cells: tuple[Cell, ...]
    kind: str = ""
    """Class of the line: `baseline`, `missing`, or none."""


@dataclass(frozen=True)
class Grid:
    columns: tuple[str, ...]
    rows: tuple[Line, ...]
    title: str = ""


def template(name: str) -> Template:
    """Return a page's template, which escapes what it is given."""
    environment = Environment(
        loader=PackageLoader("peftrec.results.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    environment.filters["code"] = _with_code
    return environment.get_template(name)


def main_grid(comparison: Comparison) -> Grid:
    """Return the main table, best cells marked."""
    plain = grid_of(readable(comparison), best_cells(comparison))
    kinds = [kind_of(row.status) for row in comparison.rows]
    return Grid(plain.columns, tuple(Line(line.cells, kind) for line, kind in zip(plain.rows, kinds, strict=True)))


def kind_of(status: str) -> str:
    """Return the class of a row: none for a strategy with figures."""
    return "" if status == "success" else BASELINE if status == BASELINE else "missing"


def grid_of(frame: pd.DataFrame, best: pd.DataFrame | None = None, *, title: str = "") -> Grid:
    """Return a table as lines of cells."""
    marks = pd.DataFrame(False, index=frame.index, columns=frame.columns) if best is None else best
    lines = zip(frame.to_numpy().tolist(), marks.to_numpy().tolist(), strict=True)
    return Grid(
        tuple(frame.columns),
        tuple(Line(tuple(Cell(str(text), bool(mark)) for text, mark in zip(*line, strict=True))) for line in lines),
        title,
    )


def _with_code(text: str) -> Markup:
    """Return a sentence of ours, with what stands between backticks as code."""
    parts = for_terminal(text).split("`")
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if place % 2 else escape(part) for place, part in enumerate(parts))


def _shown(value: object) -> object:
    """Return a value as the page shows it; markup of ours stays."""
    return for_terminal(value) if isinstance(value, str) and not isinstance(value, Markup) else value
