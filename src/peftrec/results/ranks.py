"""What a run's ranks say of each user: one value a user and metric."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peftrec.errors import RecordError
from peftrec.results.record import ANEW, RANKS_FILE

RANK_COLUMNS = ("user", "rank", "is_cold", "is_unreachable", "history_length")

Values = NDArray[np.float64]


@dataclass(frozen=True)
class UserSeedRanks:
    """A strategy's ranks over its seeds: arrays of shape (users, seeds), users by name."""

    users: NDArray[np.object_]
    ranks: NDArray[np.float64]
    is_unreachable: NDArray[np.bool_]

    def scores(self, metric: str) -> Values:
        """Return each user's `hr@k`, `ndcg@k` or `mrr@k` under each seed; an unreachable target is a miss."""
        return user_scores(self.ranks, self.is_unreachable, metric)


def read_seeds(name: str, folders: Sequence[Path]) -> UserSeedRanks:
    """Read the ranks of a strategy's runs, one folder a seed, in that order; RecordError where users differ."""
    tables = [read_ranks(folder).sort_values("user", kind="stable") for folder in folders]
    users = tables[0]["user"].to_numpy(dtype=object)
    if any(not np.array_equal(users, table["user"].to_numpy(dtype=object)) for table in tables):
        raise RecordError(f"{name}: its seeds were not tested on the same users; report them by themselves")
    return UserSeedRanks(
        users,
        np.column_stack([table["rank"].to_numpy(dtype=np.float64) for table in tables]),
        np.column_stack([table["is_unreachable"].to_numpy(dtype=bool) for table in tables]),
    )


_REMEDY = f"{ANEW}, or leave the run out"


def read_ranks(run: Path) -> pd.DataFrame:
    """Read the per-user ranks of a run's folder; RecordError names what is missing."""
    file = run / RANKS_FILE
    if not file.is_file():
        raise RecordError(f"{file}: no such file, so per-user tests cannot include this run; {_REMEDY}")
    try:
        ranks = pd.read_parquet(file)
    except (OSError, ValueError, TypeError, KeyError) as error:  # pyarrow's own are among them
        reason = (str(error).splitlines() or [""])[0]
        raise RecordError(f"{file}: damaged, no table can be read ({reason}); {_REMEDY}") from error
    missing = [column for column in RANK_COLUMNS if column not in ranks.columns]
    if missing:
        raise RecordError(f"{file}: column {missing[0]} is missing; {_REMEDY}")
    kinds = [ranks[column].dtype.kind for column in ("rank", "is_unreachable")]
    if kinds != ["i", "b"] or ranks["user"].isna().any():
        raise RecordError(f"{file}: ranks are whole numbers of every user, and here are others; {_REMEDY}")
    if ranks["user"].duplicated().any() or (ranks.loc[~ranks["is_unreachable"], "rank"] < 1).any():
        raise RecordError(f"{file}: a user occurs twice or a rank is below 1; {_REMEDY}")
    return ranks


def per_user(ranks: pd.DataFrame, metric: str) -> pd.Series:
    """Return each user's `hr@k`, `ndcg@k` or `mrr@k`, indexed by user; an unreachable target is a miss."""
    scores = user_scores(ranks["rank"].to_numpy(dtype=np.float64), ranks["is_unreachable"].to_numpy(dtype=bool), metric)
    return pd.Series(scores, index=pd.Index(ranks["user"], name="user"), name=metric)


def user_scores(rank: Values, is_unreachable: NDArray[np.bool_], metric: str) -> Values:
    """Return the same of plain ranks, in their order."""
    name, cut = _parse(metric)
    is_hit = (rank <= cut) & ~is_unreachable
    place = np.where(is_hit, rank, 1.0)
    gain = {"hr": np.ones_like(place), "ndcg": 1 / np.log2(place + 1), "mrr": 1 / place}[name]
    return np.where(is_hit, gain, 0.0)


def _parse(metric: str) -> tuple[str, int]:
    name, _, cut = metric.partition("@")
    if name not in {"hr", "ndcg", "mrr"} or not cut.isdigit():
        raise RecordError(f"metric {metric}: tests know hr@k, ndcg@k and mrr@k")
    return name, int(cut)
