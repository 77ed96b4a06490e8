"""What people call what records hold: columns with their units, strategies, baselines.

A strategy's name for people stands where the strategy does, in `display_name` of its yaml, and reaches tables by the
record. What has none, a user's own or an older record's, is called by its name there without underscores.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peftrec.results.comparison import Comparison
from peftrec.results.rows import BASELINE, Row
from peftrec.results.runs import Run

BASELINES = {"popularity": "Popularity", "item_knn": "Item-kNN", "random": "Random"}
MEBIBYTE, GIBIBYTE = 2**20, 2**30
THOUSAND, MILLION = 10**3, 10**6
GIBIBYTES_FROM = 10 * GIBIBYTE  # above, a table's largest value reads better in the larger unit
MILLIONS_FROM = 10 * MILLION


@dataclass(frozen=True)
class Column:
    """A column's head in two lines, and how its values are written."""

    name: str
    unit: str = ""
    scale: float = 1.0
    """What one unit is in the table's base unit."""
    digits: int | None = None
    """After the point; null writes three significant ones."""

    def text(self, value: float) -> str:
        """Return a value in the column's unit."""
        scaled = value / self.scale
        if self.digits is not None:
            return f"{scaled:,.{self.digits}f}"
        return f"{scaled:,.0f}" if abs(scaled) >= THOUSAND or scaled == 0 else f"{scaled:.3g}"


def column(name: str, values: Sequence[float]) -> Column:
    """Return how a column is shown whose values these are; the largest chooses the unit."""
    if name in _COLUMNS:
        return _COLUMNS[name]
    metric, at, cut = name.partition("@")
    if at and cut.isdigit():
        return Column(f"{metric.upper()}@{cut}", digits=4)
    largest = max(values, default=0.0)
    head = _HEADS.get(name)
    if name.endswith("_bytes"):
        unit = ("GiB", GIBIBYTE, 2) if largest >= GIBIBYTES_FROM else ("MiB", MEBIBYTE, 1)
        return Column(head or cleaned(name.removesuffix("_bytes")), *unit)
    if name.endswith("_parameters"):
        unit = ("million", MILLION, 2) if largest >= MILLIONS_FROM else ("thousand", THOUSAND, 1)
        return Column(head or cleaned(name.removesuffix("_parameters")), *unit)
    if name.endswith("_seconds"):
        return Column(head or cleaned(name.removesuffix("_seconds")), "s")
    return Column(head or cleaned(name))


_COLUMNS = {
    "strategy": Column("Method"),
    "seeds": Column("Seeds", digits=0),
    "seconds_per_epoch": Column("Time", "s/epoch"),
    "tpme": Column("TPME", digits=4),
}
_HEADS = {"trainable_parameters": "Trainable", "peak_memory_bytes": "Memory"}


def cleaned(name: str) -> str:
    """Return the words of a name, the first with a capital."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def strategy_name(run: Run) -> str:
    """Return what people call a run's strategy."""
    strategy = run.record.config.get("strategy")
    given = strategy.get("display_name") if isinstance(strategy, Mapping) else None
    return given if isinstance(given, str) and given.strip() else cleaned(run.record.strategy)


def row_names(comparison: Comparison) -> dict[str, str]:
    """Return by label what people call each row; rows that would come out with one name keep their labels."""
    strategies = {run.record.strategy: strategy_name(run) for run in comparison.runs}
    names = {row.strategy: _row_name(row, strategies) for row in comparison.rows}
    counts = Counter(names.values())
    return {label: name if counts[name] == 1 else label for label, name in names.items()}


def _row_name(row: Row, strategies: Mapping[str, str]) -> str:
    if row.status == BASELINE:
        return BASELINES.get(row.strategy, cleaned(row.strategy))
    strategy, _, told = row.strategy.partition(" (")
    name = strategies.get(strategy, cleaned(strategy))
    return _with_told(name, told.removesuffix(")").replace("_", " ").replace("=", " ")) if told else name


def _with_told(name: str, told: str) -> str:
    """Put what tells a row apart into the name's parentheses: in a list of names no comma then stands outside them."""
    return f"{name[:-1]}, {told})" if name.endswith(")") else f"{name} ({told})"
