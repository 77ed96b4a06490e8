"""What must be said beside a TPME: over which set it is, and what a small set or mixed conditions make of it."""

from collections.abc import Mapping, Sequence

from peftrec.results.conditions import differing_conditions
from peftrec.results.tpme import BAND_LARGEST, BAND_SMALLEST, BAND_STEP, Cost, weights_text
from peftrec.results.tpme_reference import CostChoices

_SMALL = {
    2: "Of two strategies each quantity is 0 for one and 1 for the other, so that both values are sums of weights, "
    "however near or far their costs are.",
    3: "Of three strategies each quantity is 0 for one and 1 for another: two thirds of what enters is decided by the "
    "order alone, and only the one between them tells a distance.",
}


def tpme_lines(names: Sequence[str], choices: CostChoices) -> list[str]:
    """Return how TPME was computed; nothing where there is none."""
    if not names:
        return []
    reference = choices.reference
    if reference is None:
        over, small = ", ".join(names), _SMALL.get(len(names))
    else:
        over = f"{', '.join(reference.costs)}, fixed in {choices.reference_file}"
        small = _SMALL.get(len(reference.costs))
    lines = [
        f"TPME is relative to the set it is normalised over: {over}. Lower is better; weights {weights_text()}. "
        f"tpme_low and tpme_high: over all weights in steps of {BAND_STEP:g}, each from {BAND_SMALLEST:g} to "
        f"{BAND_LARGEST:g}."
    ]
    return lines if small is None else [*lines, small]


def mixed_notes(costs: Mapping[str, Cost], choices: CostChoices) -> list[str]:
    """Return what the user insisted on comparing; it stands before all other notes."""
    lines = differing_conditions({name: cost.conditions for name, cost in costs.items()})
    if choices.conditions == "same" or not lines:
        return []
    return [f"Costs of different conditions stand side by side, as asked for (conditions=mixed): {'; '.join(lines)}."]
