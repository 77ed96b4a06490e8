"""The forms in which authors publish a table; each reads the columns that are wanted of one file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from peftrec.data.readers.delimited import DelimitedFile, Dialect
from peftrec.data.readers.json_lines import read_json_lines
from peftrec.data.readers.object_lines import Parse, read_objects
from peftrec.data.tables.columns import Columns, Wanted


class Form(Protocol):
    """How a file is written."""

    def read(self, file: Path, wanted: Sequence[Wanted]) -> Columns:
        """Read the wanted columns. Raises DataError that names the line."""
        ...


@dataclass(frozen=True)
class Delimited:
    """Delimited text; `columns` names those of a file without a header line, from the left."""

    dialect: Dialect
    columns: tuple[str, ...] = ()

    def read(self, file: Path, wanted: Sequence[Wanted]) -> Columns:
        """Read the wanted columns as text."""
        return DelimitedFile.open(file, self.dialect, self.columns).read(wanted)


@dataclass(frozen=True)
class JsonLines:
    """Flat fields of one JSON object a line."""

    whole_numbers: tuple[str, ...] = ()

    def read(self, file: Path, wanted: Sequence[Wanted]) -> Columns:
        """Read the wanted fields."""
        return read_json_lines(file, wanted, self.whole_numbers)


@dataclass(frozen=True)
class Objects:
    """Nested fields of one object a line, by their paths."""

    parse: Parse

    def read(self, file: Path, wanted: Sequence[Wanted]) -> Columns:
        """Read the wanted fields as text."""
        return read_objects(file, wanted, self.parse)
