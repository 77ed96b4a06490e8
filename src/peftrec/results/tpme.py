"""TPME, one figure for what training costs (IISAN, SIGIR 2024, equations 6 to 10), and the Pareto front beside it.

    TPME_i = a1 t_i + a2 p_i + a3 m_i        lower is better

t (seconds per epoch), p (trainable parameters) and m (peak memory) are min-max normalised over the compared set, so
that TPME is relative to that set: one more strategy changes every value. Name the set wherever a TPME is shown.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from peftrec.errors import RecordError
from peftrec.results.conditions import differing_conditions

QUANTITIES = ("seconds_per_epoch", "trainable_parameters", "peak_memory_bytes")

_TRAIN_LONGER = "train at least two epochs to the end"
_REMEDIES = {
    "peak_memory_bytes": "its record counts a CPU's memory as was done before schema 3, or was made where no allocator "
    "tells: train it again under name=NAME, or measure the folder by `peftrec measure RUNS_DIR`"
}

BAND_STEP = 0.05
BAND_SMALLEST = 0.05
BAND_LARGEST = 0.60


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Raw costs of one strategy, and what must be equal for two of them to be compared."""

    seconds_per_epoch: float | None
    trainable_parameters: int | None
    peak_memory_bytes: int | None
    device: str
    comparison_hash: str
    conditions: Mapping[str, str] = field(default_factory=dict)
    """See peftrec.results.conditions."""
    runs: tuple[str, ...] = ()
    """Ids of the runs that were measured, for error messages."""


@dataclass(frozen=True)
class TpmeWeights:
    """The alphas; the defaults are the paper's."""

    time: float = 0.45
    parameters: float = 0.10
    memory: float = 0.45

    def __post_init__(self) -> None:
        values = self.as_tuple()
        if min(values) < 0 or not math.isclose(sum(values), 1.0, abs_tol=1e-9):
            raise RecordError(
                f"TPME weights {values}: none may be negative, and they must sum to 1, not {sum(values):g}"
            )

    def as_tuple(self) -> tuple[float, float, float]:
        """Return the weights in the order of QUANTITIES."""
        return self.time, self.parameters, self.memory


PAPER_WEIGHTS = TpmeWeights()


def tpme(
    costs: Mapping[str, Cost], weights: TpmeWeights = PAPER_WEIGHTS, reference: Mapping[str, Cost] | None = None
) -> dict[str, float]:
    """Return TPME by strategy, normalised over the set itself or over a fixed `reference`.

    Raises RecordError where the set is too small, incomplete, or mixes devices, conditions or data.
    """
    return _weighted(_normalised(costs, reference), weights)


def sensitivity_weights() -> tuple[TpmeWeights, ...]:
    """Return the grid of the sensitivity band: all weights in steps of 0.05, each from 0.05 to 0.60, that sum to 1."""
    lowest, highest, whole = (round(value / BAND_STEP) for value in (BAND_SMALLEST, BAND_LARGEST, 1.0))
    steps = range(lowest, highest + 1)
    return tuple(
        TpmeWeights(time=time / whole, parameters=parameters / whole, memory=(whole - time - parameters) / whole)
        for time in steps
        for parameters in steps
        if whole - time - parameters in steps
    )


def sensitivity_band(
    costs: Mapping[str, Cost], reference: Mapping[str, Cost] | None = None
) -> dict[str, tuple[float, float]]:
    """Return each strategy's lowest and highest TPME over `sensitivity_weights`: what the choice of alphas decides."""
    normalised = _normalised(costs, reference)
    values = [_weighted(normalised, weights) for weights in sensitivity_weights()]
    return {name: (min(value[name] for value in values), max(value[name] for value in values)) for name in costs}


def pareto_front(points: Mapping[str, Sequence[float]]) -> set[str]:
    """Return the names that no other one dominates; a point is (quality, cost, ...): high quality, low costs.

    Equal points do not dominate each other, so both stand on the front.
    """
    return {name for name, point in points.items() if not any(_dominates(other, point) for other in points.values())}


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = [(one[0], other[0]), *((-left, -right) for left, right in zip(one[1:], other[1:], strict=True))]
    return all(left >= right for left, right in pairs) and any(left > right for left, right in pairs)


def _weighted(normalised: Mapping[str, Sequence[float]], weights: TpmeWeights) -> dict[str, float]:
    return {
        name: math.fsum(weight * value for weight, value in zip(weights.as_tuple(), values, strict=True))
        for name, values in normalised.items()
    }


def _normalised(costs: Mapping[str, Cost], reference: Mapping[str, Cost] | None) -> dict[str, tuple[float, ...]]:
    """Min-max each quantity over the set, or the reference; one that all share tells nothing apart and counts 0."""
    within = costs if reference is None else reference
    named = {} if reference is None else {f"{name} of the reference": cost for name, cost in reference.items()}
    _check(within, {**costs, **named})
    columns = [_scaled(_column(costs, quantity), _column(within, quantity)) for quantity in QUANTITIES]
    return {name: tuple(column[place] for column in columns) for place, name in enumerate(costs)}


def _scaled(column: Sequence[float], within: Sequence[float]) -> list[float]:
    lowest, highest = min(within), max(within)
    if lowest == highest:
        return [0.0] * len(column)
    return [(value - lowest) / (highest - lowest) for value in column]


def _column(costs: Mapping[str, Cost], quantity: str) -> list[float]:
    values = {name: getattr(cost, quantity) for name, cost in costs.items()}
    faulty = {name: value for name, value in values.items() if value is None or not math.isfinite(value) or value < 0}
    if faulty:
        first, value = next(iter(faulty.items()))
        same = [name for name, other in faulty.items() if str(other) == str(value)]  # also where it is no number
        named = _named(first, costs[first]) if len(same) == 1 else ", ".join(same)
        these = "this strategy" if len(same) == 1 else "these strategies"
        raise RecordError(
            f"{named}: {quantity} is {'missing' if value is None else value}, so TPME is not defined; "
            f"{_REMEDIES.get(quantity, _TRAIN_LONGER)}"
            + ("" if len(same) == len(costs) else f", or leave {these} out of the folder")
        )
    return [float(value) for value in values.values()]


def _check(within: Mapping[str, Cost], costs: Mapping[str, Cost]) -> None:
    if len(within) <= 1:
        raise RecordError(f"TPME compares at least two strategies, here: {', '.join(within) or 'none'}; train another")
    _check_shared(costs, "device", "were measured on different devices; run them all on one device")
    _check_shared(
        costs, "comparison_hash", "differ in data, split or evaluation; report each experiment's folder by itself"
    )
    if lines := differing_conditions({name: cost.conditions for name, cost in costs.items()}):
        raise RecordError(
            f"TPME of one set: costs were measured under different conditions: {'; '.join(lines)}; train these runs "
            "again under the same ones, measure the folder by `peftrec measure RUNS_DIR`, or compare them all the same "
            "by `peftrec report RUNS_DIR conditions=mixed`"
        )


def _check_shared(costs: Mapping[str, Cost], key: str, complaint: str) -> None:
    assert key in {field.name for field in fields(Cost)}
    if len({getattr(cost, key) for cost in costs.values()}) > 1:
        listed = "; ".join(f"{_named(name, cost)}: {getattr(cost, key)}" for name, cost in costs.items())
        raise RecordError(f"TPME of one set: these {complaint} ({listed})")


def _named(name: str, cost: Cost) -> str:
    runs = "run" if len(cost.runs) == 1 else "runs"
    return f"{name} ({runs} {', '.join(cost.runs)})" if cost.runs else name


def weights_text(weights: TpmeWeights = PAPER_WEIGHTS) -> str:
    """Return the weights as printed beside figures."""
    return ", ".join(f"{name} {value:g}" for name, value in zip(_names(TpmeWeights), weights.as_tuple(), strict=True))


def _names(kind: type[TpmeWeights]) -> Iterable[str]:
    return (field.name for field in fields(kind))
