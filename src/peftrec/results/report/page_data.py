"""Everything that the page's script shows, as one plain value: what stands in it is JSON, and every text is safe."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from peftrec.outputs.safe_text import for_terminal
from peftrec.results.comparison import QUALITY, Comparison
from peftrec.results.report.columns import Column, Value
from peftrec.results.report.curves import budget_of, curves_of, monitor_of, rounded
from peftrec.results.report.drawing import NUM_COLOURS, SHAPES
from peftrec.results.report.grids import kind_of
from peftrec.results.report.lines import Lines
from peftrec.results.report.run_details import details_of
from peftrec.results.rows import ALL_USERS
from peftrec.results.runs import Run
from peftrec.results.tpme import PAPER_WEIGHTS, QUANTITIES
from peftrec.results.tpme_reference import CostChoices

Plain = dict[str, Any]
DIGITS = 7
"""Of what is sorted and drawn; TPME's own costs are whole."""
FAMILIES = {"warm": "cold and warm targets", "head": "head and tail items", "history": "length of the history"}


@dataclass(frozen=True, kw_only=True)
class PageContent:
    """What a page is made of."""

    lines: Lines
    columns: Sequence[Column]
    choices: CostChoices
    budget: pd.DataFrame | None
    place: Path
    """The folder that the page will lie in."""

    @property
    def comparison(self) -> Comparison:
        return self.lines.comparison

    @property
    def listed(self) -> tuple[Run, ...]:
        """The runs of the rows, then those that stand in no row."""
        others = [run for run in self.comparison.runs if run not in self.lines.runs]
        return (*self.lines.runs, *others)


def page_data(content: PageContent) -> Plain:
    """Return the page's data."""
    lines = content.lines
    data = {
        "quality": list(QUALITY),
        "shapes": list(SHAPES),
        "numColours": NUM_COLOURS,
        "lines": _lines(lines),
        "columns": [_column(column) for column in content.columns],
        "tpme": tpme_data(content.comparison, content.choices),
        "curves": curves_of(lines.runs, lines.parents),
        "segments": segments_of(content.comparison),
        "budget": _budget(content),
        "details": details_of(content.listed, content.place),
    }
    return _safe(data)


def _lines(lines: Lines) -> list[Plain]:
    rows = [{"name": lines.name(place), "kind": kind_of(row.status)} for place, row in enumerate(lines.rows)]
    runs = [
        {"name": lines.name(len(rows) + place), "kind": kind_of(row.status), "row": parent, "run": place}
        for place, (row, parent) in enumerate(zip(lines.of_runs, lines.parents, strict=True))
    ]
    return rows + runs


def _column(column: Column) -> Plain:
    plain: Plain = {
        "key": column.key,
        "title": column.title,
        "group": column.group,
        "better": column.better,
        "shown": column.is_shown,
        "drawn": column.is_drawn,
        "values": [_value(value) for value in column.cells],
    }
    return plain


def _value(value: Value) -> list[Any]:
    """Return text, number, interval, note and whether it is the best, without what is empty at the end."""
    number = None if value.number is None else float(f"{value.number:.{DIGITS}g}")
    interval = None if value.interval is None else [rounded(end) for end in value.interval]
    parts = [value.text, number, interval, value.note, value.is_best]
    while parts and parts[-1] in (None, "", False):
        parts.pop()
    return parts


def tpme_data(comparison: Comparison, choices: CostChoices) -> Plain | None:
    """Return the costs that TPME weighs, whole, with the places of their rows; null where TPME is not defined."""
    rows = [(place, row) for place, row in enumerate(comparison.rows) if row.strategy in comparison.tpme]
    if not rows:
        return None
    fixed = None if choices.reference is None else list(choices.reference.as_costs().values())
    return {
        "rows": [place for place, _ in rows],
        "costs": [[getattr(row.cost, quantity) for quantity in QUANTITIES] for _, row in rows],
        "amortised": [row.details.get("amortised_seconds_per_epoch") for _, row in rows],
        "band": [comparison.band.get(row.strategy) for _, row in rows],
        "weights": list(PAPER_WEIGHTS.as_tuple()),
        "within": None if fixed is None else [_ends([getattr(cost, name) for cost in fixed]) for name in QUANTITIES],
    }


def _ends(values: Sequence[float]) -> list[float]:
    return [min(values), max(values)]


def segments_of(comparison: Comparison) -> Plain:
    """Return quality by segment: families of segments that belong together, and by metric a list of each row's."""
    names = list(dict.fromkeys(name for row in comparison.strategies for name in row.segments if name != ALL_USERS))
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(_family(name), []).append(name)
    users = {
        name: row.segments[name]["num_users"].mean
        for row in comparison.strategies
        for name in names
        if name in row.segments and "num_users" in row.segments[name]
    }
    return {
        "families": [{"title": FAMILIES.get(key, key), "segments": each} for key, each in families.items()],
        "names": {name: name.replace("_", " ") + _users(users.get(name)) for name in names},
        "values": {metric: [_of_row(row.segments, names, metric) for row in comparison.rows] for metric in QUALITY},
    }


def _family(name: str) -> str:
    if name in ("warm", "cold"):
        return "warm"
    return "head" if name in ("head", "tail") else name.partition("_")[0]


def _users(number: float | None) -> str:
    return "" if number is None else f" ({round(number):,} users)"


def _of_row(segments: Mapping[str, Any], names: Sequence[str], metric: str) -> list[float | None]:
    return [rounded(segments[name][metric].mean) if metric in segments.get(name, {}) else None for name in names]


def _budget(content: PageContent) -> Plain | None:
    if content.budget is None:
        return None
    names = [row.strategy for row in content.comparison.rows]
    monitor = monitor_of(next(run.record for run in content.comparison.runs if run.is_success))
    return {"monitor": monitor, "curves": budget_of(content.budget, names)}


def _safe(value: Any) -> Any:
    """Make every text one in which no character moves what stands around it, and every number one that JSON has."""
    if isinstance(value, str):
        return for_terminal(value)
    if isinstance(value, Mapping):
        return {for_terminal(str(key)): _safe(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
