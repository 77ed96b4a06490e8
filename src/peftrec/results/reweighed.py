"""TPME of a comparison weighed anew: other weights, some of its rows, or with what stores took to build."""

from collections.abc import Collection
from dataclasses import replace

from peftrec.errors import RecordError, did_you_mean
from peftrec.results.comparison import Comparison, costs_of
from peftrec.results.rows import Row
from peftrec.results.tpme import Cost, TpmeWeights, tpme
from peftrec.results.tpme_reference import CostChoices


def reweighed(
    comparison: Comparison,
    choices: CostChoices,
    weights: TpmeWeights,
    *,
    among: Collection[str] | None = None,
    amortises_stores: bool = False,
) -> dict[str, float]:
    """Return TPME by strategy, normalised over the rows named in `among`, or over all; over the choices' reference
    where there is one.

    Raises RecordError for a name that no row has, and where TPME is not defined: peftrec.results.tpme.
    """
    rows = {row.strategy: row for row in comparison.strategies}
    for name in among or ():
        if name not in rows:
            raise RecordError(f"{name}: no row of this comparison; {did_you_mean(name, rows)}")
    chosen = [row for name, row in rows.items() if among is None or name in among]
    costs = costs_of([_amortised(row) for row in chosen] if amortises_stores else chosen)
    if choices.conditions == "mixed":
        costs = {name: replace(cost, conditions={}) for name, cost in costs.items()}
    return tpme(costs, weights, None if choices.reference is None else choices.reference.as_costs())


def _amortised(row: Row) -> Row:
    """Return a row whose seconds hold its share of the store's building, where it reads one."""
    seconds = row.details.get("amortised_seconds_per_epoch")
    cost: Cost | None = row.cost
    return row if cost is None or seconds is None else replace(row, cost=replace(cost, seconds_per_epoch=seconds))
