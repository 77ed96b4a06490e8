"""One page for a browser without a network: table, notes, figures, and a link to every record."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from peftrec.outputs.safe_text import for_terminal
from peftrec.results.comparison import QUALITY, Comparison
from peftrec.results.record import RECORD_FILE
from peftrec.results.rows import BASELINE
from peftrec.results.runs import Run
from peftrec.results.tables import best_cells, details, readable, readable_segments
from peftrec.results.tested import Tested
from peftrec.results.tested_text import readable_means, readable_pairs, sentences

TEMPLATE = "page.html.j2"
TITLES = {"quality_vs_tpme.svg": "Quality against TPME", "quality_vs_costs.svg": "Quality against each raw cost"}


@dataclass(frozen=True)
class Cell:
    text: str
    is_best: bool


@dataclass(frozen=True)
class Line:
    cells: tuple[Cell, ...]
    kind: str = ""
    """Class of the line: `baseline`, `missing`, or none."""


@dataclass(frozen=True)
class Grid:
    columns: tuple[str, ...]
    rows: tuple[Line, ...]


def page(
    comparison: Comparison,
    pictures: Mapping[str, bytes],
    tested: Tested,
    place: Path,
) -> str:
    """Return the page; `place` is the folder it will lie in, from which records are linked."""
    return template(TEMPLATE).render(
        experiments=", ".join(comparison.experiments),
        main=main_grid(comparison),
        notes=comparison.notes,
        protocol=comparison.protocol,
        figures=[{"title": title, "svg": _inline(pictures[name], name)} for name, title in TITLES.items()],
        details=grid_of(details(comparison)),
        segments=[{"metric": metric, "table": grid_of(readable_segments(comparison, metric))} for metric in QUALITY],
        claims=sentences(tested),
        means=None if tested.problem else grid_of(readable_means(tested)),
        pairs=grid_of(readable_pairs(tested)) if len(tested.pairs) else None,
        runs=[_run(run, place) for run in comparison.runs],
    )


def template(name: str) -> Template:
    """Return a page's template, which escapes what it is given."""
    environment = Environment(
        loader=PackageLoader("peftrec.results", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    return environment.get_template(name)


def main_grid(comparison: Comparison) -> Grid:
    """Return the main table, best cells marked."""
    kinds = [
        "" if row.status == "success" else BASELINE if row.status == BASELINE else "missing" for row in comparison.rows
    ]
    plain = grid_of(readable(comparison), best_cells(comparison))
    return Grid(plain.columns, tuple(Line(line.cells, kind) for line, kind in zip(plain.rows, kinds, strict=True)))


def grid_of(frame: pd.DataFrame, best: pd.DataFrame | None = None) -> Grid:
    """Return a table as lines of cells."""
    marks = pd.DataFrame(False, index=frame.index, columns=frame.columns) if best is None else best
    lines = zip(frame.to_numpy().tolist(), marks.to_numpy().tolist(), strict=True)
    return Grid(
        tuple(frame.columns),
        tuple(Line(tuple(Cell(str(text), bool(mark)) for text, mark in zip(*line, strict=True))) for line in lines),
    )


def _run(run: Run, place: Path) -> dict[str, str]:
    record = run.record
    return {
        "name": run.name,
        "seed": str(record.seed),
        "status": record.effective_status().replace("_", " "),
        "chosen_epoch": str(record.chosen_epoch_from_one or ""),
        "link": quote(Path(os.path.relpath(run.folder / RECORD_FILE, place)).as_posix()),
    }


def _inline(svg: bytes, name: str) -> Markup:
    """Return the svg element alone, its ids made the file's own: two figures of one page must not share ids.

    Our own figures are the only source, so that the markup is safe to include as it is.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    prefix = name.removesuffix(".svg")
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    return Markup(re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text))


def _shown(value: object) -> object:
    """Return a value as the page shows it; markup of ours stays."""
    return for_terminal(value) if isinstance(value, str) and not isinstance(value, Markup) else value
