"""Lines over epochs and over a budget, as plain data."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from peftrec.errors import RecordError
from peftrec.results.comparison import QUALITY
from peftrec.results.record import Record
from peftrec.results.runs import Run

LOSS = "training loss"
VALIDATION = "validation "
BUDGET_FILE = Path("tuning") / "budget.csv"
BUDGET_COLUMNS = ("strategy", "trials", "training_seconds", "expected_validation", "ci95_low", "ci95_high")
MOST_POWERS = 20
DIGITS = 5
"""A screen shows fewer."""


def rounded(value: float) -> float | None:
    """Return a value with as many digits as a picture needs; null where it is no number."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def monitor_of(record: Record) -> str:
    """Return the validation metric that chose the epoch."""
    evaluation = record.config.get("evaluation")
    monitor = evaluation.get("monitor") if isinstance(evaluation, Mapping) else None
    return monitor if isinstance(monitor, str) else QUALITY[0]


def curve_names(runs: Sequence[Run]) -> list[str]:
    """Return what every epoch has: the validation metric that chooses first."""
    monitors = [monitor_of(run.record) for run in runs]
    found = {name for run in runs for epoch in run.record.epochs for name in epoch.validation}
    return [*(f"{VALIDATION}{name}" for name in dict.fromkeys([*monitors, *QUALITY]) if name in found), LOSS]


def curves_of(runs: Sequence[Run], parents: Sequence[int]) -> dict[str, Any]:
    """Return the curves of runs, each with the row that it belongs to; runs without epochs have none."""
    names = curve_names(runs)
    return {
        "names": names,
        "runs": [
            {
                "row": row,
                "seed": run.record.seed,
                "chosen": run.record.chosen_epoch,
                "seconds": [rounded(epoch.training_seconds) for epoch in run.record.epochs],
                "values": {name: curve(run.record, name) for name in names},
            }
            for run, row in zip(runs, parents, strict=True)
            if run.record.epochs
        ],
    }


def curve(record: Record, name: str) -> list[float | None]:
    """Return a figure of every epoch, null where the epoch has none."""
    if name == LOSS:
        return [rounded(epoch.training_loss) for epoch in record.epochs]
    found = [epoch.validation.get(name.removeprefix(VALIDATION)) for epoch in record.epochs]
    return [None if value is None else rounded(value) for value in found]


def read_budget(runs: Path) -> pd.DataFrame | None:
    """Read the curves that a tuning left beside its runs, null where there was none.

    Raises RecordError where the file is not what a tuning writes.
    """
    file = runs / BUDGET_FILE
    if not file.is_file():
        return None
    remedy = "remove it, or give the command of `peftrec tune` again, which writes it"
    try:
        frame = pd.read_csv(file)
    except (ValueError, OSError) as error:
        raise RecordError(f"{file}: cannot be read ({error}); {remedy}") from error
    lacking = [name for name in BUDGET_COLUMNS if name not in frame]
    numbers = frame[[name for name in BUDGET_COLUMNS[1:] if name in frame]]
    if lacking or (len(frame) and not all(map(pd.api.types.is_numeric_dtype, numbers.dtypes))):
        raise RecordError(f"{file}: {', '.join(lacking) or 'a column'} is not what a tuning writes; {remedy}")
    return frame if len(frame) else None


def budget_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the curves at 1, 2, 4, ... trials as text, one row a strategy."""
    most = int(frame["trials"].max())
    at = sorted({*(2**power for power in range(MOST_POWERS) if 2**power < most), most})
    rows = []
    for name, group in frame.groupby("strategy", sort=False):
        by_trials = group.set_index("trials")
        cells = {f"{n} trial{'s' if n > 1 else ''}": by_trials["expected_validation"].get(n) for n in at}
        texts = {head: "" if value is None else f"{value:.4f}" for head, value in cells.items()}
        rows.append({"strategy": str(name)} | texts)
    return pd.DataFrame(rows)


def budget_of(frame: pd.DataFrame, rows: Sequence[str]) -> list[dict[str, Any]]:
    """Return one curve a strategy, with the place of its row where the table has it."""
    return [
        {
            "name": str(name),
            "row": rows.index(str(name)) if str(name) in rows else None,
            "trials": group["trials"].tolist(),
            "seconds": [rounded(value) for value in group["training_seconds"]],
            "value": [rounded(value) for value in group["expected_validation"]],
            "low": [rounded(value) for value in group["ci95_low"]],
            "high": [rounded(value) for value in group["ci95_high"]],
        }
        for name, group in frame.groupby("strategy", sort=False)
    ]
