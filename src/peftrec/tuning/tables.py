"""What a tuning leaves to read: every trial, and the table of the final runs with budget and chosen values."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd
from pydantic import JsonValue

from peftrec.errors import RecordError, counted
from peftrec.results.comparison import QUALITY, Comparison
from peftrec.results.configs import short_keys
from peftrec.results.costs import Metrics
from peftrec.results.record import read_record
from peftrec.results.rows import Row
from peftrec.results.tables import markdown_grid, number_text, readable
from peftrec.settings.run_identity import flat_config
from peftrec.tuning.combinations import BESIDE, Combination, one_of
from peftrec.tuning.finals import override_value
from peftrec.tuning.settings import TuneSettings
from peftrec.tuning.study import StrategyStudy, TrialResult

AUTO = "auto"
"""What a setting is called that a run finds on its machine."""
TUNED = ("budget", "chosen", "validation")
COLUMNS = (
    *("strategy", "trial", "origin", "role", "state", "validation"),
    *("epochs", "chosen_epoch", "training_seconds"),
)


def trials_table(studies: Sequence[StrategyStudy]) -> pd.DataFrame:
    """Return one row a trial: what it tried, who stands behind that, and how it ended. What was listed beside
    strategies has columns of its own."""
    groups = [group for group in BESIDE if any(group in study.combination.beside for study in studies)]
    keys = sorted({key for study in studies for key in study.space.dimensions})
    rows = []
    for study in studies:
        for result in study.results():
            values = study.values_of(result.number)
            rows.append(
                {
                    "strategy": study.combination.strategy,
                    **{group: study.combination.beside.get(group) for group in groups},
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
    frame = pd.DataFrame(rows, columns=[COLUMNS[0], *groups, *COLUMNS[1:], *keys, "run", "error"])
    for column in ("epochs", "chosen_epoch"):
        frame[column] = frame[column].astype("Int64")
    return frame


def chosen_text(values: Mapping[str, JsonValue]) -> str:
    """Return chosen values for a cell, each behind the shortest ending of its key: `introduced=0.003, rank=16`."""
    short = short_keys(values)
    return ", ".join(f"{short[key]}={override_value(value)}" for key, value in values.items())


def budget_text(results: Sequence[TrialResult]) -> str:
    """Return what trials came to: `16 trials (3 stopped, 1 failed), 210 s`."""
    counts = {state: sum(result.state == state for result in results) for state in ("pruned", "failed")}
    named = {"pruned": "stopped", "failed": "failed"}
    ended_early = ", ".join(f"{count} {named[state]}" for state, count in counts.items() if count)
    seconds = sum(result.seconds for result in results)
    return f"{counted(len(results), 'trial')}{f' ({ended_early})' if ended_early else ''}, {number_text(seconds)} s"


def tuned_table(
    comparison: Comparison, studies: Mapping[str, StrategyStudy], baselines: Mapping[str, Metrics]
) -> pd.DataFrame:
    """Return the comparison's table with what was tuned beside each row; `baselines` are the test figures of what was
    tuned and needs no training."""
    frame = readable(comparison)
    tuned = [next((study for study in studies.values() if is_final(row, study)), None) for row in comparison.rows]
    cells = [dict.fromkeys(TUNED, "") if study is None else _cells(study) for study in tuned]
    rows = pd.concat([frame, pd.DataFrame(cells, columns=list(TUNED))], axis="columns")
    further = [
        {
            "strategy": f"{name}, tuned",
            **{metric: f"{values[metric]:.4f}" for metric in QUALITY},
            **_cells(studies[name]),
        }
        for name, values in baselines.items()
    ]
    return pd.concat([rows, pd.DataFrame(further, columns=rows.columns)], ignore_index=True).fillna("")


def is_final(row: Row, study: StrategyStudy) -> bool:
    """Say whether a row's runs have the best settings of a study, whichever command trained them."""
    best, shared = study.best(), study.plan.get("settings")
    if best is None or not isinstance(shared, Mapping) or not row.runs:
        return False
    own = flat_config(row.runs[0].record.config)
    chosen = flat_config(shared) | study.chosen_values(best)
    asked = {key: value for key, value in chosen.items() if key.rpartition(".")[2] != "seed"}
    left_open = {key for key, value in asked.items() if value == AUTO}
    if any(own.get(key) != value for key, value in asked.items() if key not in left_open):
        return False
    came_to = _config_of(best) if left_open else {}
    return all(own.get(key) == came_to[key] for key in left_open & came_to.keys())


def _config_of(trial: TrialResult) -> Mapping[str, JsonValue]:
    """Return what a trial was run with: its record holds what `auto` came to, where the plan of a study has what was
    asked. Nothing where the record is gone; a study is then told by what was asked alone."""
    if trial.run_directory is None:
        return {}
    try:
        return flat_config(read_record(Path(trial.run_directory)).config)
    except RecordError:
        return {}


def _cells(study: StrategyStudy) -> dict[str, str]:
    best, results = study.best(), study.results()
    assert best is not None
    assert best.value is not None
    default = next((result.value for result in results if result.number == 0), None)
    return {
        "budget": budget_text(results),
        "chosen": f"{chosen_text(study.values_of(best.number))} ({best.origin})",
        "validation": f"{best.value:.4f}" + (f" (defaults {default:.4f})" if default is not None else ""),
    }


def seeds_text(rows: Sequence[Row], final_seeds: Sequence[int]) -> str:
    """Say with which seeds the rows that a command tuned were trained: its own, and in which rows others, because an
    earlier command had the same settings trained with them."""
    others = {row.strategy: {run.record.seed for run in row.runs} - {*final_seeds} for row in rows}
    also = "".join(f"; {name} also with {_listed(sorted(seeds))}, before" for name, seeds in others.items() if seeds)
    return f"{_listed(final_seeds)}{also}"


def _listed(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def budget_line(
    combinations: Sequence[Combination], settings: TuneSettings, seeds: str, before: Collection[str] = ()
) -> str:
    """Say what each had and how it was chosen; `seeds` are those of the rows, in words, `before` what other commands
    tuned in this folder."""
    others = f" ({', '.join(before)}, tuned before, what the column says)" if before else ""
    return (
        f"Each {one_of(combinations)} had {settings.budget.describe()}{others}; settings were chosen by validation "
        f"with seed {settings.trial_seed}, trained anew ({seeds}), and the test set was scored in those runs alone."
    )


def to_markdown(frame: pd.DataFrame, lines: Sequence[str]) -> str:
    """Return `table.md`: the table, and what must be known beside it."""
    return f"# Tuned\n\n{markdown_grid(frame)}\n" + "".join(f"- {line}\n" for line in lines)
