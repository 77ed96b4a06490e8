"""The comparison of a folder's runs: rows, TPME, and what a reader must know beside the figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from peftrec.errors import RecordError
from peftrec.results.code_notes import code_notes, superseded_notes
from peftrec.results.cost_notes import seconds_notes, seconds_protocol
from peftrec.results.intervals import Certainty, certainty
from peftrec.results.labels import differing_settings, label_runs, labelled_keys
from peftrec.results.notes import comparison_notes, label_notes, protocol
from peftrec.results.pscp import Penalised, pscp, pscp_line
from peftrec.results.rows import BASELINE, DETAILS, Row, baseline_rows, strategy_row, with_memory, with_seconds
from peftrec.results.runs import Run, check_comparable
from peftrec.results.seconds import Seconds, seconds_of
from peftrec.results.superseded import without_superseded
from peftrec.results.tpme import PAPER_WEIGHTS, Cost, TpmeWeights, pareto_front, sensitivity_band, tpme
from peftrec.results.tpme_notes import mixed_notes
from peftrec.results.tpme_reference import CostChoices
from peftrec.results.tried import choice_notes, choose_tried, is_chosen

QUALITY = ("hr@10", "ndcg@10")
SHOWN = ("strategy", "seeds", *QUALITY, "seconds_per_epoch", "trainable_parameters", "peak_memory_bytes", "tpme")
"""The table's columns; what follows them in `table.csv` is spread and detail."""
INTEGERS = {
    *("seeds", "trainable_parameters", "peak_memory_bytes", "store_bytes", "step_operations"),
    *("total_parameters", "checkpoint_bytes", "kept_bytes", "extra_operations", "stored_operations"),
}

CLAIMS = ("is_on_front", "is_chosen")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that tables, figures and the page show."""

    experiments: tuple[str, ...]
    rows: tuple[Row, ...]
    """Strategies by name, then baselines."""
    runs: tuple[Run, ...]
    tpme: Mapping[str, float]
    """Empty where TPME is not defined; a note says why."""
    band: Mapping[str, tuple[float, float]]
    pscp: Mapping[str, float]
    """Of the rows whose costs are all known."""
    seconds: Seconds
    """Where seconds are from, and which rows other work disturbed."""
    certain: Certainty
    """How sure seconds and TPME are."""
    front: Mapping[str, bool]
    """Whether no strategy beats this one in hr@10 and all three costs together; of those whose costs are all known."""
    protocol: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def strategies(self) -> tuple[Row, ...]:
        """Rows of strategies with figures."""
        return tuple(row for row in self.rows if row.status == "success")

    @property
    def baselines(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.status == BASELINE)


def compare(
    runs: Sequence[Run],
    choices: CostChoices = CostChoices(),  # noqa: B008 - it is frozen
    unreadable: Sequence[str] = (),
) -> Comparison:
    """Build the comparison; RecordError where runs may not stand in one table, or none ended well.

    Of runs that asked the same by different code, the latest stands in the table, and the others are named; so are
    records that could not be read.
    """
    runs, superseded = without_superseded(runs)
    successes = [run for run in runs if run.is_success]
    if not successes:
        listed = "; ".join(f"{run.name}: {run.record.effective_status()}" for run in runs)
        raise RecordError(f"no run ended well, so there is nothing to compare ({listed})")
    check_comparable(successes)
    comparable = [run for run in runs if run.record.comparison_hash == successes[0].record.comparison_hash]
    labelled = label_runs(comparable)
    tried = choose_tried(labelled)
    strategies = [strategy_row(label, group, is_chosen=is_chosen(label, tried)) for label, group in labelled.items()]
    trained = {row.strategy: row.runs for row in strategies if row.runs}
    seconds = seconds_of(trained)
    strategies = [with_seconds(row, seconds.per_epoch.get(row.strategy)) for row in strategies]
    strategies = [with_memory(row, seconds.peak_memory_bytes.get(row.strategy)) for row in strategies]
    values, band, problem = _tpme(strategies, choices)
    penalised = _pscp(strategies, choices)
    certain = certainty(costs_of(strategies), seconds, lambda costs: tpme(*_compared(costs, choices)))
    return Comparison(
        experiments=tuple(sorted({run.record.experiment for run in successes})),
        rows=(*strategies, *baseline_rows(successes)),
        runs=tuple(runs),
        tpme=values,
        band=band,
        pscp=penalised,
        seconds=seconds,
        certain=certain,
        front=_front(strategies),
        protocol=(
            *protocol([run.record for run in successes], list(values), choices),
            *([pscp_line(choices.pscp)] if penalised else []),
            *seconds_protocol(seconds, certain),
        ),
        notes=(
            *(f"Not in this comparison: {each}." for each in unreadable),
            *mixed_notes(costs_of(strategies), choices),
            *label_notes(labelled_keys(comparable)),
            *choice_notes(tried),
            *comparison_notes(runs, trained, differing_settings(labelled), problem),
            *seconds_notes(seconds, trained),
            *code_notes(trained),
            *superseded_notes(superseded),
        ),
    )


def costs_of(rows: Sequence[Row]) -> dict[str, Cost]:
    """Return the costs of the rows that have them."""
    return {row.strategy: row.cost for row in rows if row.cost is not None}


def _tpme(
    rows: Sequence[Row], choices: CostChoices
) -> tuple[dict[str, float], dict[str, tuple[float, float]], str | None]:
    """Return TPME, its band, and why there is none: a table of one strategy or one epoch is still a table."""
    costs, weights, reference = _compared(costs_of(rows), choices)
    try:
        return tpme(costs, weights, reference), sensitivity_band(costs, reference), None
    except RecordError as error:
        return {}, {}, str(error)


def _pscp(rows: Sequence[Row], choices: CostChoices) -> dict[str, float]:
    """Return PSCP of the rows that have it; it compares nothing, so that conditions and sets do not matter."""
    found = {}
    for row in rows:
        quality = row.quality[QUALITY[0]].mean if QUALITY[0] in row.quality else None
        extra = row.details.get("extra_operations")
        found[row.strategy] = pscp(Penalised(quality=quality, cost=row.cost, extra_operations=extra), choices.pscp)
    return {name: value for name, value in found.items() if value is not None}


def _compared(
    costs: Mapping[str, Cost], choices: CostChoices
) -> tuple[Mapping[str, Cost], TpmeWeights, Mapping[str, Cost] | None]:
    """Return what `tpme` compares: costs, weights, and the reference that they are normalised over."""
    if choices.conditions == "mixed":
        costs = {name: replace(cost, conditions={}) for name, cost in costs.items()}
    return costs, PAPER_WEIGHTS, None if choices.reference is None else choices.reference.as_costs()


def _front(rows: Sequence[Row]) -> dict[str, bool]:
    points: dict[str, tuple[float, ...]] = {}
    for row in rows:
        cost = row.cost
        if cost is None or "hr@10" not in row.quality:
            continue
        costs = (cost.seconds_per_epoch, cost.trainable_parameters, cost.peak_memory_bytes)
        known = [value for value in costs if value is not None]
        if len(known) == len(costs):
            points[row.strategy] = (row.quality["hr@10"].mean, *known)
    unbeaten = pareto_front(points)
    return {name: name in unbeaten for name in points}


def table(comparison: Comparison) -> pd.DataFrame:
    """Return the table in base units: the columns of SHOWN, then status, spread and detail; missing cells are empty."""
    frame = pd.DataFrame([_cells(row, comparison) for row in comparison.rows])
    for column in frame.columns:
        if column in INTEGERS:
            # The median of two seeds may lie between two whole numbers.
            frame[column] = frame[column].astype("Float64").round().astype("Int64")
        elif column in CLAIMS:
            frame[column] = frame[column].astype("boolean")
        elif column not in {"strategy", "status", "seconds_from", "disturbed"}:
            frame[column] = frame[column].astype("Float64")
    return frame


def _cells(row: Row, comparison: Comparison) -> dict[str, object]:
    cost = row.cost
    is_strategy = row.status == "success"
    low, high = comparison.band.get(row.strategy, (None, None)) if is_strategy else (None, None)
    means = {name: row.quality[name].mean if name in row.quality else None for name in QUALITY}
    spreads: dict[str, float | None] = {}
    for name in QUALITY:
        found = row.quality.get(name) if is_strategy else None
        spreads |= {f"{name}_std": found.std if found else None, f"{name}_ci95": found.half_width if found else None}
    return {
        "strategy": row.strategy,
        "seeds": None if row.status == BASELINE else len(row.runs),
        **means,
        "seconds_per_epoch": cost and cost.seconds_per_epoch,
        "trainable_parameters": cost and cost.trainable_parameters,
        "peak_memory_bytes": cost and cost.peak_memory_bytes,
        "tpme": comparison.tpme.get(row.strategy) if is_strategy else None,
        "status": row.status,
        **spreads,
        "pscp": comparison.pscp.get(row.strategy) if is_strategy else None,
        "tpme_low": low,
        "tpme_high": high,
        **_certainty_cells(row, comparison),
        "is_on_front": comparison.front.get(row.strategy),
        "is_chosen": row.is_chosen,
        **{f"validation_{name}": row.validation[name].mean if name in row.validation else None for name in QUALITY},
        **{name: row.details.get(name) for name in DETAILS},
    }


def _certainty_cells(row: Row, comparison: Comparison) -> dict[str, object]:
    """Return intervals over rounds, epochs and seeds, where seconds are from, and what disturbed them."""
    is_strategy = row.status == "success"
    certain, disturbance = comparison.certain, comparison.seconds.disturbed.get(row.strategy)
    tpme_low, tpme_high = certain.tpme.get(row.strategy, (None, None)) if is_strategy else (None, None)
    seconds_low, seconds_high = certain.seconds.get(row.strategy, (None, None)) if is_strategy else (None, None)
    return {
        "tpme_ci_low": tpme_low,
        "tpme_ci_high": tpme_high,
        "seconds_ci_low": seconds_low,
        "seconds_ci_high": seconds_high,
        "seconds_from": comparison.seconds.source if is_strategy else None,
        "disturbed": disturbance.text if is_strategy and disturbance else None,
    }
