"""Runs grouped into rows: one a strategy, over its seeds, and one a floor."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from peftrec.errors import RecordError
from peftrec.results.configs import differing, flatten, seed_keys, telling_values
from peftrec.results.record import Metrics
from peftrec.results.runs import Run
from peftrec.results.significance import Spread, spread
from peftrec.results.tpme import Cost

EFFICIENCY_DETAILS = (
    "seconds_to_best_epoch",
    "data_wait_seconds_per_epoch",
    "amortised_seconds_per_epoch",
    "store_build_seconds",
    "store_bytes",
    "step_operations",
)
DETAILS = ("seconds_per_epoch_std", *EFFICIENCY_DETAILS, "total_parameters", "checkpoint_bytes")
ALL_USERS = "all"
FLOOR = "floor"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One strategy over its seeds, or a floor."""

    strategy: str
    """Name of the strategy; with what sets it apart where a folder holds several settings of one: `lora (rank=4)`."""
    status: str
    """`success`, `floor`, or why there is no figure: `out_of_memory`, `failed`, ..."""
    runs: tuple[Run, ...] = ()
    """Runs that ended well."""
    segments: Mapping[str, Mapping[str, Spread]] = field(default_factory=dict)
    """Segment (`all`, `warm`, ...) to metric to its spread over seeds."""
    cost: Cost | None = None
    details: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def quality(self) -> Mapping[str, Spread]:
        return self.segments.get(ALL_USERS, {})


def label_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Group runs that differ in nothing but their seed; tell settings of one strategy apart by what differs."""
    flats = {run.name: flatten(run.record.config) for run in runs}
    seeds = seed_keys((run.record.seed, flats[run.name]) for run in runs)
    groups: dict[str, list[Run]] = {}
    for strategy in sorted({run.record.strategy for run in runs}):
        members = [run for run in runs if run.record.strategy == strategy]
        settings = {run.name: _without(flats[run.name], seeds) for run in members}
        told = telling_values(settings)
        for run in members:
            groups.setdefault(_name(strategy, told[run.name]), []).append(run)
    for label, group in groups.items():
        _check_seeds(label, group)
    return dict(sorted(groups.items()))


def _name(strategy: str, told: Mapping[str, str]) -> str:
    parts = [f"{key.removeprefix('strategy.')}={value}" for key, value in told.items()]
    return f"{strategy} ({', '.join(parts)})" if parts else strategy


def _check_seeds(label: str, group: Sequence[Run]) -> None:
    seeds: dict[int, str] = {}
    for run in group:
        if run.is_success and run.record.seed in seeds:
            twin = seeds[run.record.seed]
            raise RecordError(
                f"{label}: {twin} and {run.name} are the same settings with the same seed {run.record.seed} (towers or "
                "package version differ); keep one of them in this folder"
            )
        if run.is_success:
            seeds[run.record.seed] = run.name


def differing_settings(labelled: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return the keys outside the strategy in which strategies differ, one line a key; those that stand in the labels
    of all rows are said already."""
    flats = {label: flatten(group[0].record.config, with_strategy=False) for label, group in labelled.items()}
    seeds = seed_keys((group[0].record.seed, flats[label]) for label, group in labelled.items())
    flats = {label: _without(flat, seeds) for label, flat in flats.items()}
    of_strategy: dict[str, dict[str, dict[str, str]]] = {}
    for label, group in labelled.items():
        of_strategy.setdefault(group[0].record.strategy, {})[label] = flats[label]
    in_labels = [set(told) for members in of_strategy.values() for told in telling_values(members).values()]
    said = set.intersection(*in_labels)
    return differing({label: _without(told, said) for label, told in telling_values(flats).items()})


def _without(flat: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    left_out = set(keys)
    return {key: value for key, value in flat.items() if key not in left_out}


def strategy_row(label: str, group: Sequence[Run]) -> Row:
    successes = tuple(run for run in group if run.is_success)
    if not successes:
        statuses = sorted({run.record.effective_status() for run in group})
        return Row(strategy=label, status=" and ".join(statuses))
    segments = {ALL_USERS: _spreads([run.evaluation.test for run in successes])}
    names = dict.fromkeys(name for run in successes for name in run.evaluation.test_segments)
    for name in names:
        found = [run.evaluation.test_segments for run in successes]
        segments[name] = _spreads([segment[name] for segment in found if name in segment])
    return Row(
        strategy=label,
        status="success",
        runs=successes,
        segments=segments,
        cost=_cost(successes),
        details=_details(successes),
    )


def _spreads(metrics: Sequence[Metrics]) -> dict[str, Spread]:
    names = dict.fromkeys(name for values in metrics for name in values)
    return {name: spread([values[name] for values in metrics if name in values]) for name in names}


def _median(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(statistics.median(present)) if present else None


def _cost(runs: Sequence[Run]) -> Cost:
    """Take the median over seeds: times have outliers to one side."""
    blocks = [run.record.efficiency for run in runs]
    memory = _median(None if block is None else block.peak_memory_bytes for block in blocks)
    counts = {run.record.parameters.trainable for run in runs if run.record.parameters is not None}
    if len(counts) > 1:
        listed = ", ".join(run.name for run in runs)
        raise RecordError(f"{listed}: parameters.trainable differs between seeds of one strategy; train them again")
    return Cost(
        seconds_per_epoch=_median(None if block is None else block.seconds_per_epoch for block in blocks),
        trainable_parameters=next(iter(counts), None),
        peak_memory_bytes=None if memory is None else round(memory),
        device=runs[0].record.provenance.devices,
        comparison_hash=runs[0].record.comparison_hash,
        runs=tuple(run.name for run in runs),
    )


def _details(runs: Sequence[Run]) -> dict[str, float | None]:
    blocks = [run.record.efficiency for run in runs if run.record.efficiency is not None]
    seconds = [block.seconds_per_epoch for block in blocks if block.seconds_per_epoch is not None]
    counts = [None if run.record.parameters is None else run.record.parameters.total for run in runs]
    return {
        "seconds_per_epoch_std": spread(seconds).std if seconds else None,
        **{name: _median(getattr(block, name) for block in blocks) for name in EFFICIENCY_DETAILS},
        "total_parameters": _median(counts),
        "checkpoint_bytes": _median(run.record.checkpoint_bytes for run in runs),
    }


def floor_rows(successes: Sequence[Run]) -> list[Row]:
    names = sorted({name for run in successes for name in run.evaluation.floors})
    floors = {name: [run.evaluation.floors.get(name) for run in successes] for name in names}
    return [
        Row(
            strategy=name,
            status=FLOOR,
            segments={ALL_USERS: _spreads([value for value in values if value is not None])},
        )
        for name, values in floors.items()
    ]
