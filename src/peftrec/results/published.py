"""Figures of a paper beside measured ones: absolute, and as shares of one strategy, which hardware changes less."""

from importlib.resources import files
from pathlib import Path

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict

from peftrec.errors import UserError
from peftrec.results.comparison import Comparison
from peftrec.results.rows import Row

GIGABYTE = 10**9
Range = tuple[float, float]


class Published(BaseModel):
    """What one paper reports, each figure as least and most."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    setting: str
    baseline: str
    """Strategy whose figures the shares are taken of."""
    seconds_per_epoch: dict[str, Range]
    gigabytes: dict[str, Range]


def read_published(name: str) -> Published:
    """Return the figures that the package holds under `name`. Raises UserError that lists the names there are."""
    folder = Path(str(files("peftrec.results"))) / "published_figures"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise UserError(f"--published {name}: no such paper; there are figures of {', '.join(known)}")
    return Published.model_validate(yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8")))


def beside(comparison: Comparison, published: Published) -> pd.DataFrame:
    """Return one row a strategy, as text: measured and published seconds and gigabytes, and both as shares of the
    baseline's. A cell is empty where a figure is missing."""
    measured = {row.strategy: _measured(row) for row in comparison.strategies}
    baseline = next((_measured(row) for row in comparison.strategies if _name(row) == published.baseline), (None, None))
    reported = (published.seconds_per_epoch, published.gigabytes)
    rows = []
    for row in comparison.strategies:
        cells = {"strategy": row.strategy}
        for quantity, ours, whole, figures in zip(
            ("seconds", "GB"), measured[row.strategy], baseline, reported, strict=True
        ):
            theirs = figures.get(_name(row))
            cells[f"{quantity} here"] = "" if ours is None else f"{ours:.3g}"
            cells[f"{quantity} published"] = "" if theirs is None else _range(theirs, "{:g}")
            cells[f"{quantity} here, share of {published.baseline}"] = (
                "" if ours is None or not whole else f"{ours / whole:.3f}"
            )
            cells[f"{quantity} published, share of {published.baseline}"] = (
                "" if theirs is None else _range(_share(theirs, figures[published.baseline]), "{:.3f}")
            )
        rows.append(cells)
    return pd.DataFrame(rows)


def _name(row: Row) -> str:
    """Return the strategy's name without what tells several settings of it apart."""
    return row.runs[0].record.strategy


def _measured(row: Row) -> tuple[float | None, float | None]:
    if row.cost is None:
        return None, None
    memory = row.cost.peak_memory_bytes
    return row.cost.seconds_per_epoch, None if memory is None else memory / GIGABYTE


def _share(figures: Range, baseline: Range) -> Range:
    return figures[0] / baseline[1], figures[1] / baseline[0]


def _range(figures: Range, form: str) -> str:
    low, high = (form.format(figure) for figure in figures)
    return low if low == high else f"{low} to {high}"
