"""Runs grouped into rows: one a strategy, over its seeds, and one a baseline."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from peftrec.errors import RecordError
from peftrec.results.conditions import of_all
from peftrec.results.costs import Metrics
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
SERVING_DETAILS = (
    "kept_bytes",
    "new_item_seconds",
    "merged_new_item_seconds",
    "catalogue_seconds",
    "answer_seconds_p50",
    "answer_seconds_p99",
    "extra_operations",
    "stored_operations",
)
"""`catalogue_seconds` of a run that reads a store starts from the store; `extra_operations` are those of what would be
served, merged where that can be."""
DETAILS = (
    "seconds_per_epoch_std",
    *EFFICIENCY_DETAILS,
    *("total_parameters", "checkpoint_bytes"),
    *SERVING_DETAILS,
)
ALL_USERS = "all"
BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One strategy over its seeds, or a baseline."""

    strategy: str
    """Name of the strategy; with what sets it apart where a folder holds several settings of one: `lora (rank=4)`."""
    status: str
    """`success`, `baseline`, or why there is no figure: `out_of_memory`, `failed`, ..."""
    runs: tuple[Run, ...] = ()
    """Runs that ended well."""
    others: tuple[Run, ...] = ()
    """Runs of the same settings that did not."""
    segments: Mapping[str, Mapping[str, Spread]] = field(default_factory=dict)
    """Segment (`all`, `warm`, ...) to metric to its spread over seeds."""
    validation: Mapping[str, Spread] = field(default_factory=dict)
    """Metric of the chosen epochs to its spread over seeds."""
    is_chosen: bool | None = None
    """Whether validation chose this one of several settings that were tried; null where there was no choice."""
    cost: Cost | None = None
    details: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def quality(self) -> Mapping[str, Spread]:
        return self.segments.get(ALL_USERS, {})


def strategy_row(label: str, group: Sequence[Run], *, is_chosen: bool | None = None) -> Row:
    successes = tuple(run for run in group if run.is_success)
    others = tuple(run for run in group if not run.is_success)
    if not successes:
        statuses = sorted({run.record.effective_status() for run in others})
        return Row(strategy=label, status=" and ".join(statuses), others=others)
    segments = {ALL_USERS: _spreads([run.evaluation.test for run in successes])}
    names = dict.fromkeys(name for run in successes for name in run.evaluation.test_segments)
    for name in names:
        found = [run.evaluation.test_segments for run in successes]
        segments[name] = _spreads([segment[name] for segment in found if name in segment])
    return Row(
        strategy=label,
        status="success",
        runs=successes,
        others=others,
        segments=segments,
        validation=_spreads([run.evaluation.validation for run in successes]),
        is_chosen=is_chosen,
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
        device=runs[0].record.latest.devices,
        comparison_hash=runs[0].record.comparison_hash,
        conditions=of_all([run.record for run in runs]),
        runs=tuple(run.name for run in runs),
    )


def with_memory(row: Row, peak_memory_bytes: int | None) -> Row:
    """Return the row with a memory that was measured beside training."""
    if peak_memory_bytes is None or row.cost is None:
        return row
    return replace(row, cost=replace(row.cost, peak_memory_bytes=peak_memory_bytes))


def with_seconds(row: Row, seconds: float | None) -> Row:
    """Return the row with other seconds an epoch than training's; those that stand beside it follow."""
    if seconds is None or row.cost is None:
        return row
    trained, amortised = row.cost.seconds_per_epoch, row.details.get("amortised_seconds_per_epoch")
    store = None if trained is None or amortised is None else amortised - trained
    return replace(
        row,
        cost=replace(row.cost, seconds_per_epoch=seconds),
        details={**row.details, "amortised_seconds_per_epoch": None if store is None else seconds + store},
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
        **_serving(runs),
    }


def _serving(runs: Sequence[Run]) -> dict[str, float | None]:
    found = [run.record.serving for run in runs if run.record.serving is not None]
    merged = [each.merged for each in found if each.merged is not None]
    return {
        "kept_bytes": _median(each.kept_bytes for each in found),
        "new_item_seconds": _median(each.as_trained.new_item_seconds for each in found),
        "merged_new_item_seconds": _median(each.new_item_seconds for each in merged),
        "catalogue_seconds": _median(each.as_trained.catalogue_seconds for each in found),
        "answer_seconds_p50": _median(each.answer_seconds_p50 for each in found),
        "answer_seconds_p99": _median(each.answer_seconds_p99 for each in found),
        "extra_operations": _median(each.at_best.extra_operations for each in found),
        "stored_operations": _median(each.as_trained.stored_operations for each in found),
    }


def baseline_rows(successes: Sequence[Run]) -> list[Row]:
    names = sorted({name for run in successes for name in run.evaluation.baselines})
    baselines = {name: [run.evaluation.baselines.get(name) for run in successes] for name in names}
    return [
        Row(
            strategy=name,
            status=BASELINE,
            segments={ALL_USERS: _spreads([value for value in values if value is not None])},
        )
        for name, values in baselines.items()
    ]
