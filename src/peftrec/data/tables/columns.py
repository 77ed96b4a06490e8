"""Columns of a table that a user made, converted without a Python loop; every error names the row."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.interactions import Times
from peftrec.data.tables.times import TimeColumn
from peftrec.errors import DataError, shortlist

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A column of ids: row r holds `names[codes[r]]`; names stand in the order of their first rows."""

    names: list[str]
    codes: npt.NDArray[np.int32]

    def rows(self) -> tuple[str, ...]:
        """Return the id of every row."""
        return tuple(np.asarray(self.names, dtype=object)[self.codes])


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns that were asked for, by name; row r stands in line `lines[r]` of `file`."""

    file: Path
    columns: Mapping[str, Any]
    """Name to a `pyarrow.ChunkedArray`."""
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, row: int) -> str:
        """Return `file:line` of a row."""
        return f"{self.file}:{self.lines[row]}"

    def _plain(self, name: str) -> Any:
        """Return a column without a dictionary, which may name values that no row holds (a pandas categorical)."""
        column = self.columns[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return column.cast(pa.string()) if pa.types.is_string_view(column.type) else column

    def ids(self, name: str) -> Encoded:
        """Return a column of ids as text, whatever its type: a whole number stands without a fraction.

        Raises DataError where one is empty, or its column holds what no id is.
        """
        column = self._plain(name)
        if column.null_count:
            raise self._empty(name, pc.is_null(column))
        if pa.types.is_nested(column.type):
            raise DataError(f"{self.file}: column {name!r} holds {column.type}, and ids are text or whole numbers")
        encoded = column.dictionary_encode().unify_dictionaries().combine_chunks()
        names = self._id_texts(name, encoded.dictionary, encoded.indices)
        return Encoded(names=names.to_pylist(), codes=encoded.indices.to_numpy(zero_copy_only=False))

    def _id_texts(self, name: str, distinct: Any, codes: Any) -> Any:
        """Return the distinct ids of a column as text."""
        kind = distinct.type
        if pa.types.is_floating(kind):  # what pandas makes of whole numbers beside an empty cell
            values = distinct.to_numpy(zero_copy_only=False)
            if np.isnan(values).any():
                raise self._empty(name, pc.is_nan(self._plain(name)))
            exact = 2 ** (np.finfo(values.dtype).nmant + 1)
            broken = np.flatnonzero((values % 1 != 0) | (np.abs(values) >= exact))
            if not broken.size:
                return distinct.cast(pa.int64()).cast(pa.string())
            row = pc.index(codes, pa.scalar(int(broken[0]), codes.type)).as_py()
            value = values[broken[0]]
            wrong = f"and {kind} tells whole numbers apart below {exact} only, so that others may have become this one"
            raise DataError(
                f"{self.place(row)}: {name} is {value}, "
                + (wrong if value % 1 == 0 else "and an id is text or a whole number")
                + ": save the column as text or as int64, from what it was made of"
            )
        if pa.types.is_integer(kind):
            return distinct.cast(pa.string())
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise DataError(f"{self.file}: column {name!r} holds {kind}, and ids are text or whole numbers")
        is_blank = pc.equal(pc.utf8_trim_whitespace(distinct), "")
        if pc.any(is_blank).as_py():
            raise self._empty(name, pc.equal(pc.utf8_trim_whitespace(self._plain(name)), ""))
        return distinct

    def _empty(self, name: str, is_empty: Any) -> DataError:
        rows = np.flatnonzero(is_empty.to_numpy())
        others = f" (and {len(rows) - 1} more such rows)" if len(rows) > 1 else ""
        return DataError(f"{self.place(int(rows[0]))}: {name} is empty{others}: fill it in, or remove the row")

    def texts(self, name: str) -> list[str]:
        """Return a column as text; an empty cell is an empty text."""
        column = self.columns[name]
        try:
            return pc.fill_null(column.cast(pa.string()), "").to_pylist()
        except pa.ArrowNotImplementedError as error:  # Arrow's name for a type that has no text form, such as a list
            raise DataError(f"{self.file}: column {name!r} holds {column.type}, not text") from error

    def times(self, name: str) -> Times:
        """Return timestamps: numbers as they stand, dates as seconds since 1970-01-01 UTC.

        Raises DataError where a row holds neither, or rows count in different units.
        """
        return TimeColumn(name=name, column=self._plain(name), file=self.file, lines=self.lines).read()


def release_unused() -> None:
    """Give memory that Arrow keeps for later back to the system."""
    pa.default_memory_pool().release_unused()


@dataclass(frozen=True)
class Wanted:
    """A column that the configuration names under `key`."""

    key: str
    name: str
    otherwise: str = ""
    """What else the key may be set to, for the message where the column is missing."""
    remedy: str = ""
    """What that message advises where no key sets the name: what `key` names is then a file."""


def require_columns(
    file: Path, present: Sequence[str], wanted: Sequence[Wanted], *, are_of_first_line: bool = True
) -> None:
    """Refuse a table that lacks a wanted column, or has it twice.

    `are_of_first_line` says whether the names that are present stand in the file's first line, which may be a row.
    """
    for column in wanted:
        number = present.count(column.name)
        if number > 1:
            raise DataError(f"{file}: {number} columns are called {column.name!r}: rename all but one")
        if not number:
            has_none = not any(each.name in present for each in wanted)
            hint = _no_header(wanted) if are_of_first_line and has_none and (column.remedy or len(present) > 1) else ""
            raise DataError(f"{file}: {_what_stands_instead(column, present)}{hint}")


def _no_header(wanted: Sequence[Wanted]) -> str:
    names = ",".join(dict.fromkeys(column.name for column in wanted))
    return f"; if the first line is a row already, put a line of names above it, such as {names}, in the file's order"


def _what_stands_instead(wanted: Wanted, present: Sequence[str]) -> str:
    separators = [name for sign, name in SEPARATORS.items() if len(present) == 1 and sign in present[0]]
    if separators:
        return (
            f"the first line has one column, {present[0]!r}: separated by {' or '.join(separators)}? Save it as its "
            "suffix says, with commas as .csv or with tabs as .tsv (RecBole's files: set data.field_separator)"
        )
    padded = [name for name in present if name.strip() == wanted.name]
    if padded:
        return f"column {padded[0]!r} has white space around its name: remove it, here and beside all separators"
    if wanted.remedy:
        columns = "column is" if len(present) == 1 else "columns are"
        return f"there is no column {wanted.name!r}: its {columns} {shortlist(present)}; {wanted.remedy}"
    folded = {name.casefold(): name for name in present}
    near = difflib.get_close_matches(wanted.name.casefold(), folded, n=1)
    suggestion = f", the nearest is {folded[near[0]]!r}" if near else ""
    return (
        f"there is no column {wanted.name!r}{suggestion}: set {wanted.key} to one of "
        f"{shortlist(present)}{wanted.otherwise}"
    )
