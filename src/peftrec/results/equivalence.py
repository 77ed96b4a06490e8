"""What may be said of a difference: better, worse, equivalent within a margin, or undecided.

That a difference is not significant does not make two strategies equal. They are equivalent at level a if the whole
(1 - 2a) interval of their difference lies within a margin that was fixed beforehand, which is to say that both
one-sided tests against the margin's ends reject (Schuirmann, "A comparison of the two one-sided tests procedure ...",
Journal of Pharmacokinetics and Biopharmaceutics 1987).
"""

from typing import Literal

from peftrec.results.users_and_seeds import Estimate

Verdict = Literal["better", "worse", "equivalent", "undecided"]
"""Of the first strategy, beside the second."""


def equivalence_p_value(estimate: Estimate, margin: float) -> float:
    """Return the larger of the two one-sided p-values: below a where the (1 - 2a) interval lies within the margin."""
    return max(estimate.tail(-margin, is_above=True), estimate.tail(margin, is_above=False))


def verdict(difference: float, *, is_significant: bool, is_equivalent: bool) -> Verdict:
    """Return what may be said. A difference that is real and too small to matter counts as equivalent: whoever named
    the margin said so."""
    if is_equivalent:
        return "equivalent"
    if not is_significant:
        return "undecided"
    return "better" if difference > 0 else "worse"
