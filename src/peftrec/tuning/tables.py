"""What a tuning leaves to read: every trial, and the table of the final runs with budget and chosen values."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from pydantic import JsonValue

from peftrec.results.comparison import Comparison
from peftrec.results.tables import markdown_grid, number_text, readable
from peftrec.tuning.finals import override_value
from peftrec.tuning.settings import TuneSettings
from peftrec.tuning.study import StrategyStudy, TrialResult
from peftrec.tuning.tuner import Tuned

COLUMNS = (
    *("strategy", "trial", "origin", "role", "state", "validation"),
    *("epochs", "chosen_epoch", "training_seconds"),
)


def trials_table(studies: Sequence[StrategyStudy]) -> pd.DataFrame:
    """Return one row a trial: what it tried, who stands behind that, and how it ended."""
    keys = sorted({key for study in studies for key in study.space.dimensions})
    rows = []
    for study in studies:
        for result in study.results():
            values = study.values_of(result.number)
            rows.append(
                {
                    "strategy": study.name,
                    "trial": result.number,
                    "origin": result.origin,
                    "role": result.role,
                    "state": result.state,
                    "validation": result.value,
                    "epochs": len(result.epoch_values),
                    "chosen_epoch": None if result.chosen_epoch is None else result.chosen_epoch + 1,
                    "training_seconds": result.seconds,
                    **{key: values.get(key) for key in keys},
                    "run": result.run_directory,
                    "error": result.error,
                }
            )
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *keys, "run", "error"])
    for column in ("epochs", "chosen_epoch"):
        frame[column] = frame[column].astype("Int64")
    return frame


def trials_begun(file: Path, strategies: Sequence[str]) -> list[int]:
    """Return how many trials of each strategy are in the table of trials."""
    if not file.exists():
        return [0] * len(strategies)
    names = pd.read_csv(file)["strategy"]
    return [int((names == strategy).sum()) for strategy in strategies]


def chosen_text(changes: Mapping[str, JsonValue]) -> str:
    """Return chosen values for a cell: `introduced=0.003, rank=16`; a start without changes is `defaults`."""
    return (
        ", ".join(f"{key.rpartition('.')[2]}={override_value(value)}" for key, value in changes.items()) or "defaults"
    )


def budget_text(results: Sequence[TrialResult]) -> str:
    """Return what a strategy's trials came to: `16 trials (3 stopped, 1 failed), 210 s`."""
    counts = {state: sum(result.state == state for result in results) for state in ("pruned", "failed")}
    named = {"pruned": "stopped", "failed": "failed"}
    ended_early = ", ".join(f"{count} {named[state]}" for state, count in counts.items() if count)
    seconds = sum(result.seconds for result in results)
    return f"{len(results)} trials{f' ({ended_early})' if ended_early else ''}, {number_text(seconds)} s"


def tuned_table(comparison: Comparison, tuned: Sequence[Tuned], run_ids: Mapping[str, frozenset[str]]) -> pd.DataFrame:
    """Return the comparison's table with what was tuned beside each row; `run_ids` are the final runs by strategy."""
    frame = readable(comparison)
    cells = []
    for row in comparison.rows:
        ids = {run.name for run in row.runs}
        found = next((each for each in tuned if ids & run_ids.get(each.candidate.strategy, frozenset())), None)
        cells.append(_cells(found) if found is not None else dict.fromkeys(("budget", "chosen", "validation"), ""))
    return pd.concat([frame, pd.DataFrame(cells, columns=["budget", "chosen", "validation"])], axis="columns")


def _cells(tuned: Tuned) -> dict[str, str]:
    best, results = tuned.study.best(), tuned.study.results()
    assert best is not None
    assert best.value is not None
    default = next((result.value for result in results if result.number == 0), None)
    return {
        "budget": budget_text(results),
        "chosen": chosen_text(best.changes),
        "validation": f"{best.value:.4f}" + (f" (defaults {default:.4f})" if default is not None else ""),
    }


def to_markdown(frame: pd.DataFrame, settings: TuneSettings, notes: Sequence[str]) -> str:
    """Return `table.md`."""
    lines = [
        f"Each strategy had {settings.budget.describe()}; settings were chosen by validation with seed "
        f"{settings.trial_seed}, trained anew with seeds {', '.join(map(str, settings.final_seeds))}, and the test set "
        "was scored in those runs alone.",
        *notes,
    ]
    return f"# Tuned\n\n{markdown_grid(frame)}\n" + "".join(f"- {line}\n" for line in lines)
