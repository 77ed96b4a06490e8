"""The statistics of a comparison: intervals of means, tests of pairs, and why there are none."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from peftrec.errors import RecordError
from peftrec.results.asked import NOTHING, Asked
from peftrec.results.comparison import QUALITY, Comparison
from peftrec.results.significance import COLUMNS, MEAN_COLUMNS, Scored, all_pairs, read_scored, strategy_means
from peftrec.results.users_and_seeds import SeedDraws


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What the users' ranks say of means and of pairs."""

    means: pd.DataFrame
    """Columns MEAN_COLUMNS of peftrec.results.significance."""
    pairs: pd.DataFrame
    """Columns COLUMNS of it."""
    asked: Asked = NOTHING
    problem: str | None = None
    """Why there is nothing; null where there is: records may travel without their ranks."""


def infer(comparison: Comparison, asked: Asked = NOTHING) -> Tested:
    """Test every pair of a comparison's strategies."""
    try:
        scored = _read(comparison)
    except RecordError as error:
        return Tested(
            means=pd.DataFrame(columns=list(MEAN_COLUMNS)),
            pairs=pd.DataFrame(columns=list(COLUMNS)),
            asked=asked,
            problem=f"No per-user tests: {error}.",
        )
    means = strategy_means(scored, QUALITY)
    return Tested(means=means, pairs=all_pairs(scored, QUALITY, asked=asked), asked=asked)


def _read(comparison: Comparison) -> Mapping[str, Scored]:
    rows = comparison.strategies
    return read_scored(
        {row.strategy: [run.folder for run in row.runs] for row in rows},
        {row.strategy: [SeedDraws.of(run.record) for run in row.runs] for row in rows},
    )
