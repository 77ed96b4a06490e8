"""Whether data lets anything be learnt and ranked: what a run would otherwise say by a loss of 0 or figures of 0."""

import numpy as np

from peftrec.data.feature_screening import OF_ZEROS
from peftrec.data.split import RankingCases, Split
from peftrec.errors import DataError
from peftrec.settings.run import EvaluationSettings

SMALLEST_CUT = 5
"""Of the metrics that are recorded; so few candidates are all among the first."""
CUT = 10
"""Of the metrics that tables show."""


def check_learnable(split: Split, evaluation: EvaluationSettings, *, negatives_per_positive: float) -> list[str]:
    """Return what is to be said before training.

    Raises DataError where every figure would be 0 whatever was learnt.
    """
    number = len(split.items)
    if number < 2:  # noqa: PLR2004 - one alone
        raise DataError(f"{number} item is left to rank, and with one there is nothing to choose: give data of more")
    if evaluation.mask_history == "all":
        _refuse_unreachable("validation", split.validation)
        _refuse_unreachable("test", split.test)
    found = []
    if number <= CUT:
        cuts = f"hr@{CUT}" if number > SMALLEST_CUT else "every hr"
        found.append(f"{number} items are ranked, so that {cuts} is 1 for each target that can be reached")
    if not negatives_per_positive:
        users = len(set(split.windows.users))
        found.append(
            "nothing can be learnt by a loss over the items of a batch: beside those of its own window no position has "
            f"one to be told from ({users:,} user{'s' * (users != 1)} in training, {number:,} items)"
        )
    found += [
        f"{split.counts[name]:,} of the items in histories have {name.replace('_', ' ')}, which tell none from another"
        for name in split.counts
        if name.endswith(OF_ZEROS)
    ]
    return found


def _refuse_unreachable(name: str, cases: RankingCases) -> None:
    if np.all(cases.is_target_in_history()):
        raise DataError(
            f"all {len(cases):,} {name} targets stand in the histories of their users, which are masked, so that every "
            "figure would be 0: set evaluation.mask_history=all_but_target"
        )
