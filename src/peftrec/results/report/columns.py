"""The columns that a reader may choose from: values to sort and draw by, and texts as the tables have them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from peftrec.results.comparison import QUALITY, SHOWN, Comparison
from peftrec.results.cost_notes import MARK
from peftrec.results.report.grids import Cell, Grid, Line, kind_of
from peftrec.results.report.lines import Lines
from peftrec.results.rows import Row
from peftrec.results.tables import DETAIL_TEXT, best_cells, bytes_text, count_text, number_text, quality_text
from peftrec.results.tested import Tested
from peftrec.results.tpme import QUANTITIES

Better = Literal["high", "low"]
Interval = tuple[float, float]

OF_QUALITY = "quality"
OF_TRAINING = "training"
OF_ALL_COSTS = "all costs in one figure"
OF_STORE = "hidden-state store"
OF_SERVING = "keeping and serving"
VALIDATION = "validation_"

TITLES: Mapping[str, tuple[str, str]] = {
    "seconds_per_epoch": (OF_TRAINING, "seconds an epoch"),
    "trainable_parameters": (OF_TRAINING, "trainable parameters"),
    "peak_memory_bytes": (OF_TRAINING, "peak memory"),
    "seconds_to_best_epoch": (OF_TRAINING, "seconds to the chosen epoch"),
    "data_wait_seconds_per_epoch": (OF_TRAINING, "seconds waiting for data"),
    "step_operations": (OF_TRAINING, "operations a step"),
    "total_parameters": (OF_TRAINING, "all parameters"),
    "tpme": (OF_ALL_COSTS, "TPME"),
    "tpme_band": (OF_ALL_COSTS, "TPME over all weights"),
    "pscp": (OF_ALL_COSTS, "PSCP"),
    "is_on_front": (OF_ALL_COSTS, "on the Pareto front"),
    "store_build_seconds": (OF_STORE, "seconds to build the store"),
    "store_bytes": (OF_STORE, "size of the store"),
    "amortised_seconds_per_epoch": (OF_STORE, "seconds an epoch with the store's building"),
    "stored_operations": (OF_STORE, "operations to compute an item's stored states, once"),
    "kept_bytes": (OF_SERVING, "bytes to keep"),
    "checkpoint_bytes": (OF_SERVING, "checkpoint"),
    "new_item_seconds": (OF_SERVING, "seconds a new item"),
    "merged_new_item_seconds": (OF_SERVING, "seconds a new item, merged"),
    "catalogue_seconds": (OF_SERVING, "seconds the whole catalogue"),
    "answer_seconds_p50": (OF_SERVING, "seconds an answer, median"),
    "answer_seconds_p99": (OF_SERVING, "seconds an answer, 99th percentile"),
    "extra_operations": (OF_SERVING, "operations an item beyond the towers'"),
}
"""Key to the group and the words of its head, in the page's order; quality, which records name, comes before."""
TEXTS: Mapping[str, Callable[[float | None], str]] = {
    **DETAIL_TEXT,
    **dict.fromkeys(("trainable_parameters", "total_parameters"), count_text),
    "peak_memory_bytes": bytes_text,
}
FOUR_DIGITS = ("tpme", "pscp")
HIGHER_IS_BETTER = ("pscp", "is_on_front")
NOT_DRAWN = ("tpme_band", "is_on_front", "seeds")


@dataclass(frozen=True, kw_only=True)
class Value:
    """What a row has in a column."""

    text: str = ""
    number: float | None = None
    """In the column's base unit: seconds, bytes, a fraction."""
    interval: Interval | None = None
    """95 %, of the number."""
    note: str = ""
    """The interval as text."""
    is_best: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    key: str
    title: str
    group: str
    better: Better = "low"
    is_shown: bool = False
    is_drawn: bool = True
    """Whether it may be an axis."""
    cells: tuple[Value, ...] = ()
    """One a line."""


def columns_of(lines: Lines, tested: Tested) -> list[Column]:
    """Return the columns in which some line has a value."""
    intervals = _intervals(lines.comparison, tested)
    best = best_cells(lines.comparison)
    columns = []
    for key, group, title in _keys(lines.rows):
        values = [
            _value(key, lines, place, intervals.get(key, {}), is_best=key in best and bool(best[key].get(place, False)))
            for place in range(len(lines.every))
        ]
        if any(value.number is not None for value in values):
            columns.append(
                Column(
                    key=key,
                    title=title,
                    group=group,
                    better="high" if group == OF_QUALITY or key in HIGHER_IS_BETTER else "low",
                    is_shown=key in SHOWN,
                    is_drawn=key not in NOT_DRAWN,
                    cells=tuple(values),
                )
            )
    return columns


def _keys(rows: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    """Yield key, group and title: seeds and what is compared first, then other cuts, then validation, then costs."""
    yield "seeds", OF_QUALITY, "seeds"
    names = dict.fromkeys([*QUALITY, *(name for row in rows for name in row.quality)])
    yield from ((name, OF_QUALITY, name) for name in names)
    yield from ((f"{VALIDATION}{name}", OF_QUALITY, f"validation {name}") for name in QUALITY)
    yield from ((key, group, title) for key, (group, title) in TITLES.items())


def _intervals(comparison: Comparison, tested: Tested) -> dict[str, dict[str, Interval]]:
    """Return by column and row the 95 % intervals that there are."""
    found: dict[str, dict[str, Interval]] = {
        "seconds_per_epoch": dict(comparison.certain.seconds),
        "tpme": dict(comparison.certain.tpme),
    }
    for mean in tested.means.to_dict("records"):
        found.setdefault(str(mean["metric"]), {})[str(mean["strategy"])] = (mean["ci_low"], mean["ci_high"])
    return found


def _value(key: str, lines: Lines, place: int, intervals: Mapping[str, Interval], *, is_best: bool) -> Value:
    row, is_run = lines.every[place], place >= len(lines.rows)
    kind = kind_of(row.status)
    if kind == "missing":
        return Value(text=row.status.replace("_", " ")) if key == QUALITY[0] else Value()
    number = _number(key, row, None if is_run else lines.comparison)
    if key in row.quality or key.startswith(VALIDATION):
        found = row.validation.get(key.removeprefix(VALIDATION)) if key.startswith(VALIDATION) else row.quality.get(key)
        text = quality_text(found, has_spread=not kind)
    else:
        text = _text(key, number)
    if is_run or kind:
        return Value(text=text, number=number)
    if key == "seconds_per_epoch" and row.strategy in lines.comparison.seconds.disturbed:
        text += f" {MARK}"
    if key == "tpme_band" and row.strategy in lines.comparison.band:
        text = range_text(key, lines.comparison.band[row.strategy])
    interval = intervals.get(row.strategy)
    note = range_text(key, interval) if interval and number is not None else ""
    return Value(text=text, number=number, interval=interval, note=note, is_best=is_best)


def _number(key: str, row: Row, comparison: Comparison | None) -> float | None:
    """Return a row's value; what compares it with others only where it stands in the comparison."""
    if key == "seeds":
        return len(row.runs) if row.runs and comparison is not None else None
    for values in (row.quality, {f"{VALIDATION}{name}": value for name, value in row.validation.items()}):
        if key in values:
            return values[key].mean
    if comparison is not None and not kind_of(row.status):
        compared = _compared(row.strategy, comparison)
        if key in compared:
            return compared[key]
    if key in QUANTITIES:
        number: float | None = getattr(row.cost, key, None)
        return number
    return row.details.get(key)


def _compared(name: str, comparison: Comparison) -> dict[str, float | None]:
    low, high = comparison.band.get(name, (None, None))
    is_on_front = comparison.front.get(name)
    return {
        "tpme": comparison.tpme.get(name),
        "tpme_band": None if low is None or high is None else high - low,
        "pscp": comparison.pscp.get(name),
        "is_on_front": None if is_on_front is None else float(is_on_front),
    }


def _text(key: str, number: float | None) -> str:
    if number is None:
        return ""
    if key == "is_on_front":
        return "yes" if number else "no"
    if key in FOUR_DIGITS:
        return f"{number:.4f}"
    return TEXTS.get(key, number_text)(number)


def range_text(key: str, interval: Interval) -> str:
    """Return an interval as the tables write it."""
    low, high = interval
    if key in QUALITY:
        return f"{low:.4f} to {high:.4f}"
    if key.startswith("tpme"):
        return f"{low:.3f} to {high:.3f}"
    return f"{number_text(low)} to {number_text(high)}"


def static_grid(lines: Lines, columns: Sequence[Column], *, title: str = "", only_strategies: bool = False) -> Grid:
    """Return columns of the rows, without the runs, as a table; of strategies alone, those with a value."""
    places = list(range(len(lines.rows)))
    if only_strategies:
        is_told = [not kind_of(row.status) for row in lines.rows]
        places = [place for place in places if is_told[place] and any(each.cells[place].text for each in columns)]
    return Grid(
        ("strategy", *(column.title for column in columns)),
        tuple(
            Line(
                (
                    Cell(lines.name(place)),
                    *(
                        Cell(value.text, value.is_best, value.note)
                        for value in (column.cells[place] for column in columns)
                    ),
                ),
                kind_of(lines.rows[place].status),
            )
            for place in places
        ),
        title,
    )
