"""What a dashboard of a folder of runs shows, before it is said in any dashboard's own terms."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peftrec.results import tables
from peftrec.results.comparison import Comparison, compare
from peftrec.results.configs import CLASS, flatten, seed_keys, telling_values
from peftrec.results.labels import labelled_keys
from peftrec.results.recomputed import without_contradictions
from peftrec.results.report.commands import command_of
from peftrec.results.report.curves import monitor_of
from peftrec.results.runs import Run, find_runs
from peftrec.results.tower_names import FIRST, TOWERS, towers_of
from peftrec.trackers.figures import alias, group_of

BY_STRATEGY = "strategy_name"
QUALITY = ("hr@10", "ndcg@10")
COSTS = {
    "efficiency/seconds_per_epoch": "Seconds an epoch",
    "efficiency/trainable_parameters": "Trainable parameters",
    "efficiency/peak_memory_bytes": "Peak memory (bytes)",
    "serving/kept_bytes": "Bytes to keep",
}
"""Figure of a run to its words."""
TPME = {"tpme": "TPME"}
_WIDE = 30
"""Ratio of the ends of a tuned key's values from which on its axis is logarithmic."""


@dataclass(frozen=True, kw_only=True)
class TunedKey:
    """A key that trials of a tuning changed."""

    key: str
    is_logarithmic: bool


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Trials of one strategy."""

    strategy: str
    group: str
    keys: tuple[TunedKey, ...]
    num_trials: int


@dataclass(frozen=True, kw_only=True)
class Content:
    """What is compared, how its runs are found among others, and what is said beside the curves."""

    name: str
    """Of the experiment, or of several."""
    groups: tuple[str, ...]
    """Of the trackers' runs."""
    keys: tuple[str, ...]
    """By which runs are grouped: the strategy, and what tells settings of one apart."""
    num_rows: int
    monitor: str
    """`hr@10`: the validation metric that chooses."""
    has_tpme: bool
    table: str
    """Markdown, with what must be known beside it."""
    commands: tuple[str, ...]
    """One a row: what trains its first run again."""
    tunings: tuple[Tuning, ...]

    @property
    def monitored(self) -> str:
        """The figure by which trials are compared."""
        return alias(f"best_val/{self.monitor}")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The runs of a folder, compared, and the trials that stand in no table."""

    comparison: Comparison
    trials: tuple[Run, ...]


def compared(folder: Path) -> Compared:
    """Read the records below a folder. Raises RecordError where they may not stand in one table."""
    unreadable: list[str] = []
    every = find_runs(folder, with_trials=True, unreadable=unreadable)
    runs, contradicted = without_contradictions([run for run in every if run.record.kind == "train"])
    comparison = compare(runs, unreadable=[*unreadable, *contradicted])
    return Compared(comparison=comparison, trials=tuple(run for run in every if run.record.kind == "trial"))


def content_of(found: Compared) -> Content:
    """Return what a dashboard of these runs shows."""
    comparison = found.comparison
    successes = [run for row in comparison.strategies for run in row.runs]
    return Content(
        name=", ".join(comparison.experiments),
        groups=comparison.experiments,
        keys=(BY_STRATEGY, *_told_keys(successes)),
        num_rows=len(comparison.strategies),
        monitor=monitor_of(successes[0].record),
        has_tpme=bool(comparison.tpme),
        table=tables.to_markdown(comparison),
        commands=tuple(command_of(row.runs[0].record).text for row in comparison.strategies),
        tunings=tuple(_tunings(found.trials)),
    )


def _told_keys(runs: Sequence[Run]) -> list[str]:
    """Return the keys of a configuration that rows of one strategy are told apart by."""
    keys: list[str] = []
    for key in labelled_keys(runs):
        if key == TOWERS:
            names = dict.fromkeys(name for run in runs for name in towers_of(run.record))
            keys += [f"{TOWERS}.{name}.checkpoint" for name in {**dict.fromkeys(FIRST), **names}]
        else:
            is_class = any(f"{key}{CLASS}" in flatten(run.record.config) for run in runs)
            keys.append(f"{key}{CLASS}" if is_class else key)
    return [key for key in keys if key != BY_STRATEGY]


def _tunings(trials: Sequence[Run]) -> list[Tuning]:
    found = []
    for strategy in dict.fromkeys(run.record.strategy for run in trials):
        own = [run for run in trials if run.record.strategy == strategy]
        flats = [flatten(run.record.config, run.record.roles) for run in own]
        seeds = seed_keys(zip((run.record.seed for run in own), flats, strict=True))
        told = telling_values({run.name: _without(flat, seeds) for run, flat in zip(own, flats, strict=True)})
        short = {key for values in told.values() for key in values}
        every = sorted(f"{key}{CLASS}" if any(f"{key}{CLASS}" in flat for flat in flats) else key for key in short)
        keys = tuple(TunedKey(key=key, is_logarithmic=_is_wide([flat.get(key) for flat in flats])) for key in every)
        found.append(Tuning(strategy=strategy, group=group_of(own[0].record), keys=keys, num_trials=len(own)))
    return found


def _without(flat: Mapping[str, str], keys: Collection[str]) -> dict[str, str]:
    return {key: value for key, value in flat.items() if key not in keys}


def _is_wide(values: Sequence[str | None]) -> bool:
    numbers = [_number(value) for value in values if value is not None]
    positive = [number for number in numbers if number is not None and number > 0]
    return len(positive) == len(numbers) > 0 and max(positive) / min(positive) >= _WIDE


def _number(text: str) -> float | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def figures_to_show(content: Content) -> Mapping[str, str]:
    """Return the costs that are drawn against quality, with their words."""
    return {**COSTS, **(TPME if content.has_tpme else {})}
