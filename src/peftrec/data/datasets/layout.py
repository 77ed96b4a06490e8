"""How a data set is published: its files, their forms, and which of their columns is which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from peftrec.data.readers.forms import Form
from peftrec.data.tables.columns import Columns
from peftrec.data.tables.locations import contents_of, require_file
from peftrec.errors import DataError

COMPRESSED = ".gz"

Files = Mapping[str, Form]
"""Names under which a table is published, below the root, and their forms. Each may be compressed (`.gz`)."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Two tables, and their columns."""

    interactions: Files
    user: str
    item: str
    time: str
    items: Files
    item_id: str


@dataclass(frozen=True, kw_only=True)
class Edition:
    """What the authors, or others who counted, say an edition holds."""

    interactions: int
    users: int | None = None


def find_file(root: Path, files: Files, named: str | None, *, key: str) -> tuple[Path, Form]:
    """Return the one file of a table that lies below `root`, or the one that the configuration names under `key`.

    Raises DataError where none lies there, or several do.
    """
    if named is not None:
        return require_file(root, named, key=key), form_of(named, files, key)
    names = [name for published in files for name in (published, published + COMPRESSED)]
    present = [name for name in names if (root / name).is_file()]
    if len(present) == 1:
        return root / present[0], files[present[0].removesuffix(COMPRESSED)]
    if present:
        raise DataError(f"{root}: holds {' and '.join(present)}: say which is meant: {key}={present[0]}")
    raise DataError(
        f"{root}: holds no {' or '.join(files)} (each may be {COMPRESSED}), but {contents_of(root)}: correct "
        f"data.root, or name the file: {key}=FILE"
    )


def form_of(name: str, files: Files, key: str) -> Form:
    """Return the form of the published file that has the same suffix."""
    by_suffix = {Path(published).suffix: form for published, form in files.items()}
    suffix = Path(name.removesuffix(COMPRESSED)).suffix
    if suffix not in by_suffix:
        raise DataError(f"{key}={name}: the suffix tells no form of this data set: it is {' or '.join(by_suffix)}")
    return by_suffix[suffix]


def first_rows(table: Columns, name: str) -> tuple[Columns, int]:
    """Return the table with the first row of each id alone, and how many rows that leaves out."""
    is_first = ~pd.Series(table.ids(name).codes).duplicated().to_numpy()
    num_repeated = int(len(is_first) - is_first.sum())
    return (kept_rows(table, np.flatnonzero(is_first)), num_repeated) if num_repeated else (table, 0)


def kept_rows(table: Columns, rows: Sequence[int] | np.ndarray) -> Columns:
    """Return rows of a table, in the order given."""
    columns = {name: column.take(pa.array(rows)) for name, column in table.columns.items()}
    return Columns(file=table.file, columns=columns, lines=np.asarray(table.lines)[rows].tolist())


def with_column(table: Columns, name: str, column: Any) -> Columns:
    """Return the table with a column more, or with another in its place."""
    return replace(table, columns={**table.columns, name: column})


def with_texts(table: Columns, name: str, texts: Sequence[str]) -> Columns:
    """Return the table with a column of texts more."""
    return with_column(table, name, pa.chunked_array([pa.array(texts, type=pa.string())]))
