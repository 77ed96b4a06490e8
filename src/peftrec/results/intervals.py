"""What the scatter of seconds leaves certain: intervals of seconds and of TPME, and which row may be called best."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from peftrec.errors import RecordError
from peftrec.results.bootstrap import FEWEST_UNITS, expanded_interval
from peftrec.results.seconds import Seconds
from peftrec.results.tpme import Cost

Values = NDArray[np.float64]
Interval = tuple[float, float]
_TPME_DRAWS = 500


@dataclass(frozen=True, kw_only=True)
class Certainty:
    """95 % intervals over rounds or epochs and seeds, by row, and the best rows that they support."""

    seconds: Mapping[str, Interval] = field(default_factory=dict)
    tpme: Mapping[str, Interval] = field(default_factory=dict)
    least_seconds: str | None = None
    """The row whose ratio to each other row is below 1 with certainty; None where there is none."""
    least_tpme: str | None = None


def certainty(
    costs: Mapping[str, Cost], seconds: Seconds, tpme_of: Callable[[Mapping[str, Cost]], Mapping[str, float]]
) -> Certainty:
    """Return what holds of rows with these costs. `tpme_of` gives the TPME of a set, or raises RecordError.

    Rows without enough rounds or epochs have no interval. Other work of the machine is the same for all epochs of a
    row, so that no interval over epochs holds it: no row is best then by seconds of training. Turns side by side say by
    two clocks what it may have done (see `both_clocks`, `widened`).
    """
    timed = [name for name, cost in costs.items() if cost.seconds_per_epoch is not None]
    draws = {name: seconds.draws[name] for name in timed if name in seconds.draws}
    if not draws or seconds.num_units < FEWEST_UNITS:
        return Certainty()
    intervals = {name: expanded_interval(values, seconds.num_units) for name, values in draws.items()}
    if len(draws) < len(costs) or len(costs) == 1:  # TPME is of the whole set
        return Certainty(seconds=intervals)
    of_draws = _tpme_draws(costs, draws, tpme_of)
    may_be_best = seconds.source == "side_by_side" or not seconds.is_busy
    return Certainty(
        seconds=intervals,
        tpme={name: expanded_interval(values, seconds.num_units) for name, values in of_draws.items()},
        least_seconds=least(draws, seconds.num_units) if may_be_best else None,
        least_tpme=least(of_draws, seconds.num_units) if may_be_best and of_draws else None,
    )


def least(draws: Mapping[str, Values], num_units: int) -> str | None:
    """Return the name whose difference to every other one lies below 0 with its whole interval."""
    for name, values in draws.items():
        others = [other for label, other in draws.items() if label != name]
        if all(expanded_interval(values - other, num_units)[1] < 0 for other in others):
            return name
    return None


def _tpme_draws(
    costs: Mapping[str, Cost],
    draws: Mapping[str, Values],
    tpme_of: Callable[[Mapping[str, Cost]], Mapping[str, float]],
) -> dict[str, Values]:
    """Return TPME of the set for draws of all its seconds; parameters and memory do not scatter."""
    # As many from either end: draws of two clocks lie in halves.
    places = np.linspace(0, len(next(iter(draws.values()))) - 1, _TPME_DRAWS).astype(np.int64)
    found: dict[str, list[float]] = {name: [] for name in costs}
    try:
        for place in places:
            drawn = {name: replace(cost, seconds_per_epoch=float(draws[name][place])) for name, cost in costs.items()}
            for name, value in tpme_of(drawn).items():
                found[name].append(value)
    except RecordError:  # the table says why there is no TPME
        return {}
    return {name: np.array(values) for name, values in found.items()}
