"""Answers to many users as columns of a table."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from peftrec.serving.catalogue import ServedCatalogue
from peftrec.serving.many_users import Served


def as_columns(
    kind: str, served: Served, catalogue: ServedCatalogue, users: Sequence[str]
) -> dict[str, list[str] | np.ndarray]:
    """Return the rows of a table of answers: who, rank, item and score."""
    num_users, k = served.best.items.shape
    return {
        kind: [users[row] for row in np.repeat(served.rows, k).tolist()],
        "rank": np.tile(np.arange(1, k + 1), num_users),
        "item": [catalogue.ids[row] for row in served.best.items.ravel().tolist()],
        "score": served.best.scores.ravel(),
    }


def titles_of(served: Served, catalogue: ServedCatalogue) -> pd.Series:
    """Return the titles of its rows, None where the data has none."""
    return pd.Series([catalogue.title(row) for row in served.best.items.ravel().tolist()], dtype="object")


def no_rows(kind: str) -> pd.DataFrame:
    """Return the table of nobody."""
    types = {kind: "object", "rank": "int64", "item": "object", "score": "float32", "title": "object"}
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in types.items()})
