"""Parquet; rows are counted from 1."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from peftrec.data.stand_ins import WRITE_AGAIN, refuse_stand_in
from peftrec.data.tables.columns import Columns, Wanted, require_columns
from peftrec.errors import DataError


def read_parquet(file: Path, wanted: Sequence[Wanted]) -> Columns:
    """Return the columns that are wanted."""
    refuse_stand_in(file)
    try:
        with parquet.ParquetFile(file) as opened:
            require_columns(file, opened.schema_arrow.names, wanted, are_of_first_line=False)
            names = list(dict.fromkeys(column.name for column in wanted))
            table = opened.read(columns=names)
        table.validate(full=True)  # reading looks at no text: it may not be UTF-8
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{file}: the file cannot be read as Parquet ({str(error).splitlines()[0]}); {WRITE_AGAIN}, or let its "
            "name end as its format does (.csv, .tsv)"
        ) from error
    if not len(table):
        raise DataError(f"{file}: the table has no rows")
    return Columns(file=file, columns={name: table.column(name) for name in names}, lines=range(1, len(table) + 1))
