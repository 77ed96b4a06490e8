"""A table of named columns, in the format that its file's suffix tells."""

from collections.abc import Sequence
from pathlib import Path

from peftrec.data.readers.delimited import CSV, TSV, DelimitedFile
from peftrec.data.readers.parquet import read_parquet
from peftrec.data.tables.columns import Columns, Wanted
from peftrec.errors import DataError

DIALECTS = {".csv": CSV, ".tsv": TSV}
COMPRESSIONS = (".gz", ".bz2", ".zst")


def read_table(file: Path, wanted: Sequence[Wanted]) -> Columns:
    """Read the wanted columns in the format that the suffix tells."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] == ".parquet":
        return read_parquet(file, wanted)
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in DIALECTS:
        raise DataError(
            f"{file}: the suffix tells no format: name it .csv, .tsv (either may be followed by "
            f"{', '.join(COMPRESSIONS)}) or .parquet"
        )
    return DelimitedFile.open(file, DIALECTS[suffixes[-1]]).read(wanted)
