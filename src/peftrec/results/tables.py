"""The comparison as csv, Markdown and terminal text.

`table.csv` keeps base units and full precision; the others round for readers and put the unit into the cell.
"""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_numeric_dtype
from rich.console import Console
from rich.table import Table

from peftrec.outputs.safe_text import each_for_line, for_csv, for_line, for_markdown
from peftrec.results.comparison import QUALITY, SHOWN, Comparison, table
from peftrec.results.cost_notes import MARK
from peftrec.results.rows import BASELINE, SERVING_DETAILS, Row
from peftrec.results.significance import Spread

MEBIBYTE = 2**20
WHOLE_NUMBERS_FROM = 1000
QUALITY_DIGITS = 4
COST_DETAILS = (
    "seconds_to_best_epoch",
    "data_wait_seconds_per_epoch",
    "store_build_seconds",
    "store_bytes",
    "amortised_seconds_per_epoch",
    "step_operations",
    "checkpoint_bytes",
    *SERVING_DETAILS,
)


def to_csv(frame: pd.DataFrame) -> str:
    """Return csv that pandas reads back to the same values, and in which no spreadsheet finds a formula."""
    # Numbers are left out of the map: it would make fractions of whole numbers beside empty cells.
    safe = frame.apply(lambda column: column if is_numeric_dtype(column) else column.map(for_csv))
    return safe.rename(columns=for_csv).to_csv(index=False, lineterminator="\n")


def readable(comparison: Comparison) -> pd.DataFrame:
    """Return the columns of SHOWN as text: mean and spread as `0.1234 ± 0.0010`, an empty cell where there is none."""
    return pd.DataFrame([_readable_row(row, comparison) for row in comparison.rows], columns=list(SHOWN))


def _readable_row(row: Row, comparison: Comparison) -> dict[str, str]:
    is_strategy = row.status == "success"
    cells = dict.fromkeys(SHOWN, "")
    cells["strategy"] = row.strategy if row.is_chosen is not False else f"{row.strategy}, not chosen"
    cells["seeds"] = "" if row.status == BASELINE else str(len(row.runs))
    if not is_strategy and row.status != BASELINE:
        return cells | {QUALITY[0]: row.status.replace("_", " ")}
    cells |= {name: quality_text(row.quality.get(name), has_spread=is_strategy) for name in QUALITY}
    if row.cost is not None:
        mark = f" {MARK}" if row.strategy in comparison.seconds.disturbed else ""
        cells["seconds_per_epoch"] = number_text(row.cost.seconds_per_epoch) + mark
        cells["trainable_parameters"] = count_text(row.cost.trainable_parameters)
        cells["peak_memory_bytes"] = bytes_text(row.cost.peak_memory_bytes)
    if is_strategy and row.strategy in comparison.tpme:
        cells["tpme"] = f"{comparison.tpme[row.strategy]:.4f}"
    return cells


def quality_text(value: Spread | None, *, has_spread: bool = True) -> str:
    """Return a fraction with four digits, with its spread over seeds where there is one."""
    if value is None:
        return ""
    texts = [f"{number:.{QUALITY_DIGITS}f}" for number in (value.mean, value.std) if number is not None]
    return " ± ".join(texts if has_spread else texts[:1])


def number_text(value: float | None) -> str:
    """Return three significant digits, all digits before the point, and no exponent."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= WHOLE_NUMBERS_FROM or value == 0 else f"{value:.3g}"


def count_text(value: float | None) -> str:
    """Return a count with thousands separators."""
    return "" if value is None else f"{value:,.0f}"


def bytes_text(value: float | None) -> str:
    """Return bytes in mebibytes."""
    return "" if value is None else f"{value / MEBIBYTE:,.1f} MiB"


def operations_text(value: float | None) -> str:
    """Return a large count with its power of ten."""
    return "" if value is None else f"{value:.2e}"


DETAIL_TEXT = {
    **dict.fromkeys(("store_bytes", "checkpoint_bytes", "kept_bytes"), bytes_text),
    **dict.fromkeys(("step_operations", "extra_operations", "stored_operations"), operations_text),
}


def best_cells(comparison: Comparison) -> pd.DataFrame:
    """Return which cells of `readable` hold the best value of a strategy: most quality, least cost. Seconds, and TPME
    with them, scatter: a row is best in them only where their intervals say so (peftrec.results.intervals). Settings
    that were tried and that validation did not choose are no candidates."""
    frame = table(comparison)
    is_strategy = _may_be_best(frame)
    best = pd.DataFrame(False, index=frame.index, columns=list(SHOWN))
    certain = {"seconds_per_epoch": comparison.certain.least_seconds, "tpme": comparison.certain.least_tpme}
    for column in SHOWN[2:]:
        if column in certain:
            best[column] = is_strategy & (frame["strategy"] == certain[column]).to_numpy()
            continue
        values = frame.loc[is_strategy, column].dropna()
        if len(values) > 1:
            target = values.max() if column in QUALITY else values.min()
            if column in QUALITY and round(target, QUALITY_DIGITS) == 0:
                continue  # no strategy found anything that the table can show
            best.loc[values.index[values == target], column] = True
    return best


def second_cells(comparison: Comparison) -> pd.DataFrame:
    """Return which cells hold the second best value of a strategy, in the columns that have a best one."""
    frame, best = table(comparison), best_cells(comparison)
    is_strategy = _may_be_best(frame)
    second = pd.DataFrame(False, index=best.index, columns=best.columns)
    for column in best.columns[best.any()]:
        values = frame.loc[is_strategy & ~best[column].to_numpy(), column].dropna()
        if len(values):
            target = values.max() if column in QUALITY else values.min()
            second.loc[values.index[values == target], column] = True
    return second


def _may_be_best(frame: pd.DataFrame) -> "npt.NDArray[np.bool_]":
    return ((frame["status"] == "success") & frame["is_chosen"].fillna(True)).to_numpy(dtype=bool)


_ON_FRONT = {True: "yes", False: "no", None: ""}


def details(comparison: Comparison) -> pd.DataFrame:
    """Return the second table, what an epoch's time and TPME leave out, as text; columns without values left out."""
    shown: list[dict[str, str]] = []
    for row in comparison.strategies:
        low, high = comparison.band.get(row.strategy, (None, None))
        cells = {"strategy": row.strategy, "on_pareto_front": _ON_FRONT[comparison.front.get(row.strategy)]}
        cells["tpme_low_to_high"] = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        low, high = comparison.certain.tpme.get(row.strategy, (None, None))
        cells["tpme_ci"] = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        low, high = comparison.certain.seconds.get(row.strategy, (None, None))
        cells["seconds_ci"] = "" if low is None or high is None else f"{number_text(low)} to {number_text(high)}"
        cells["pscp"] = f"{comparison.pscp[row.strategy]:.4f}" if row.strategy in comparison.pscp else ""
        for name in COST_DETAILS:
            value = row.details.get(name)
            cells[name] = DETAIL_TEXT.get(name, number_text)(value)
        shown.append(cells)
    frame = pd.DataFrame(shown)
    return frame.loc[:, [column for column in frame.columns if (frame[column] != "").any()]]


def segments(comparison: Comparison) -> pd.DataFrame:
    """Return every metric in every segment, one row a strategy and segment; baselines have all users only."""
    rows: list[dict[str, object]] = []
    for row in comparison.rows:
        for name, metrics in row.segments.items():
            users = metrics.get("num_users")
            values: dict[str, object] = {}
            for metric, value in metrics.items():
                if metric != "num_users":
                    values |= {metric: value.mean, f"{metric}_std": value.std if row.status != BASELINE else None}
            rows.append({"strategy": row.strategy, "segment": name, "num_users": users and round(users.mean), **values})
    frame = pd.DataFrame(rows)
    frame["num_users"] = frame["num_users"].astype("Int64")
    numbers = [column for column in frame.columns if column not in {"strategy", "segment", "num_users"}]
    return frame.astype(dict.fromkeys(numbers, "Float64"))


def readable_segments(comparison: Comparison, metric: str) -> pd.DataFrame:
    """Return one metric as text, strategies down and segments across, each with its number of users."""
    names = dict.fromkeys(name for row in comparison.strategies for name in row.segments)
    sizes: dict[str, int] = {}
    for row in comparison.strategies:
        for name, metrics in row.segments.items():
            if "num_users" in metrics:
                sizes[name] = round(metrics["num_users"].mean)
    return pd.DataFrame(
        [
            {"strategy": row.strategy}
            | {
                f"{name} ({sizes[name]:,} users)" if name in sizes else name: quality_text(
                    row.segments.get(name, {}).get(metric)
                )
                for name in names
            }
            for row in comparison.strategies
        ]
    )


def markdown_grid(frame: pd.DataFrame, best: pd.DataFrame | None = None) -> str:
    """Return a Markdown table, first column to the left, the others to the right, best cells bold."""
    cells = frame.map(lambda text: for_markdown(str(text)))
    if best is not None:
        cells = cells.where(~best.reindex(columns=cells.columns), "**" + cells + "**")
    lines = [
        list(map(for_markdown, cells.columns)),
        [":--", *["--:"] * (len(cells.columns) - 1)],
        *cells.to_numpy().tolist(),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_markdown(comparison: Comparison) -> str:
    """Return `table.md`: the table, protocol and notes under it, and the second table."""
    parts = [
        f"# Comparison: {for_markdown(', '.join(comparison.experiments))}\n",
        markdown_grid(readable(comparison), best_cells(comparison)),
        _bullets("How it was measured", comparison.protocol),
        _bullets("Notes", comparison.notes),
        "## Costs in detail\n",
        markdown_grid(details(comparison)),
    ]
    return "\n".join(part for part in parts if part)


def _bullets(title: str, lines: Sequence[str]) -> str:
    return "".join([f"## {title}\n\n", *(f"- {for_markdown(line)}\n" for line in lines)]) if lines else ""


def segments_markdown(comparison: Comparison) -> str:
    """Return `segments.md`: one table a metric."""
    parts = [f"# Segments: {for_markdown(', '.join(comparison.experiments))}\n"]
    for metric in QUALITY:
        parts += [f"## {metric}\n", markdown_grid(readable_segments(comparison, metric))]
    return "\n".join([*parts, _bullets("How it was measured", comparison.protocol)])


def to_terminal(comparison: Comparison, width: int | None = None) -> str:
    """Return the table, what makes its rows less comparable, and the protocol, for a terminal, without colour."""
    console = Console(file=io.StringIO(), width=width or 140, color_system=None, highlight=False, markup=False)
    grid = Table(title=None)
    for column in SHOWN:
        is_name = column == "strategy"
        grid.add_column(column, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold")
    cells, best = readable(comparison), best_cells(comparison)
    for texts, marks in zip(cells.to_numpy().tolist(), best.to_numpy().tolist(), strict=True):
        grid.add_row(*(f"*{text}" if mark else text for text, mark in zip(each_for_line(texts), marks, strict=True)))
    with console.capture() as captured:
        console.print(grid)
        console.print("* best of the strategies")
        for line in comparison.notes:
            console.print(f"- {for_line(line)}", soft_wrap=True)
        console.print("How it was measured:")
        for line in comparison.protocol:
            console.print(f"- {for_line(line)}", soft_wrap=True)
    return captured.get()
