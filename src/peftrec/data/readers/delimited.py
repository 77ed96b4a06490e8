"""Delimited text with a header line: CSV with double quotes (RFC 4180), and tab-separated text without quoting.

Arrow reads it, at the speed of the disk; where something is wrong, Python's slower reader finds the line.
"""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from peftrec.data.stand_ins import WRITE_AGAIN
from peftrec.data.tables.columns import Columns, Wanted, require_columns
from peftrec.data.tables.lines import EXCERPT, decode_utf8, opened, refuse_utf16, unreadable
from peftrec.errors import DataError

_BLOCK_BYTES = 2**24  # no row may be longer; Arrow's default of 1 MiB refuses a long description
ROWS_COMPARED = 100
"""Rows that tell whether the first line or a row below it has the wrong number of columns."""
csv.field_size_limit(_BLOCK_BYTES)  # Python's reader finds faults and lines only; what Arrow takes it must take


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How fields are told apart; `has_quotes` lets a quoted field hold the delimiter and line ends."""

    delimiter: str
    has_quotes: bool

    def rows(self, content: bytes, *, is_strict: bool = False) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is not empty, the header too, with the line in which it starts.

        Raises csv.Error, where strict, for a quote that is never closed or has text behind it.
        """
        stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="replace", newline="")
        reader = csv.reader(
            stream,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.has_quotes else csv.QUOTE_NONE,
            strict=is_strict,
        )
        line = 1
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1


CSV = Dialect(delimiter=",", has_quotes=True)
TSV = Dialect(delimiter="\t", has_quotes=False)


@dataclass(frozen=True, kw_only=True)
class DelimitedFile:
    """One file, read into memory once, and decompressed where it is gzip, bzip2 or zstd."""

    file: Path
    dialect: Dialect
    content: bytes
    columns: tuple[str, ...] | None = None
    """Names of the columns of a file without a header line; None where the first line names them."""

    @classmethod
    def open(cls, file: Path, dialect: Dialect, columns: tuple[str, ...] = ()) -> "DelimitedFile":
        """Read the bytes.

        `columns` names the first columns of a file that may have no header line; a first line that says exactly these
        names is one. Raises DataError where the bytes cannot be read.
        """
        try:
            with opened(file) as stream:
                content = stream.read()
        except OSError as error:
            raise unreadable(file, error) from error
        refuse_utf16(file, content)
        table = cls(file=file, dialect=dialect, content=content.removeprefix(codecs.BOM_UTF8))
        if not columns or tuple((first := table.first_row())[: len(columns)]) == columns:
            return table
        if len(first) < len(columns):
            expected = dialect.delimiter.join(columns)
            raise DataError(f"{file}:1: found {len(first)} columns, expected {len(columns)} ({expected}): {first!r}")
        further = tuple(f"column {number}" for number in range(len(columns) + 1, len(first) + 1))
        return replace(table, columns=(*columns, *further))

    def header(self) -> list[str]:
        """Return the names of the columns. Raises DataError where there is no first line."""
        return list(self.columns or self.first_row())

    def first_row(self) -> list[str]:
        """Return the first row, header or not. Raises DataError where there is none."""
        try:
            return next(self.dialect.rows(self.content))[1]
        except (StopIteration, csv.Error) as error:
            raise DataError(f"{self.file}: no header line; the first line names the columns") from error

    def read(self, wanted: Sequence[Wanted]) -> Columns:
        """Return the columns that are wanted, as text."""
        header = self.header()
        require_columns(self.file, header, wanted)
        self._refuse_open_quotes()
        names = list(dict.fromkeys(column.name for column in wanted))
        try:
            table = self._table(names)
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise self._explain(header, error) from error
        if not len(table):
            raise DataError(f"{self.file}: no rows below the header")
        return Columns(
            file=self.file,
            columns={name: table.column(name) for name in names},
            lines=self._lines(len(table)),
        )

    def _table(self, names: list[str]) -> Any:
        return arrow_csv.read_csv(
            pa.BufferReader(self.content),
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK_BYTES, column_names=self.columns),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.dialect.delimiter,
                quote_char='"' if self.dialect.has_quotes else False,
                newlines_in_values=self.dialect.has_quotes,
            ),
            # All as text and nothing as null: a user may be called NA, and 007 is not 7.
            convert_options=arrow_csv.ConvertOptions(
                include_columns=names, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )

    def _refuse_open_quotes(self) -> None:
        """Refuse a quote that is never closed: all rows behind it would be taken for its field."""
        if not self.dialect.has_quotes or self.content.count(b'"') % 2 == 0:
            return
        end = 0
        try:
            for line, row in self.dialect.rows(self.content, is_strict=True):
                end = line + sum(field.count("\n") for field in row)
        except csv.Error as error:
            raise DataError(
                f"{self.file}:{end + 1}: a quote here is never closed, or has text behind it: double the quotes inside "
                "fields (RFC 4180), or save the table as .tsv, which has no quoting"
            ) from error

    def _lines(self, num_rows: int) -> Sequence[int]:
        """Return the line of each row: they follow the header, unless a line is empty or a field holds a line end."""
        num_headers = int(self.columns is None)
        ends = self.content.count(b"\n")
        if ends + (not self.content.endswith(b"\n")) == num_rows + num_headers:
            return range(1 + num_headers, 1 + num_headers + num_rows)
        lines = [line for line, _ in self.dialect.rows(self.content)][num_headers:]
        if len(lines) != num_rows:
            raise DataError(f"{self.file}: quotes inside fields can be read in two ways: double them (RFC 4180)")
        return lines

    def _explain(self, header: list[str], error: Exception) -> DataError:
        decode_utf8(self.file, self.content)
        line = 1
        try:
            for line, row in self.dialect.rows(self.content):
                if len(row) != len(header):
                    return self._uneven(header, line, row)
        except csv.Error as fault:
            return DataError(f"{self.file}: the row after line {line} cannot be read ({fault}); {WRITE_AGAIN}")
        return DataError(f"{self.file}: the table cannot be read ({str(error).splitlines()[0]}); {WRITE_AGAIN}")

    def _uneven(self, header: list[str], line: int, row: list[str]) -> DataError:
        """Say which row has another number of columns: the first line itself where those below agree on another."""
        below = Counter(len(each) for _, each in islice(self.dialect.rows(self.content), 1, 1 + ROWS_COMPARED))
        ((usual, _),) = below.most_common(1)
        names = self.dialect.delimiter.join(header)
        if self.columns is None and 2 * below[len(header)] < below.total() > 1:
            return DataError(
                f"{self.file}:1: the first line names {len(header)} columns and the rows below have {usual}: correct "
                f"{names[:EXCERPT]!r}"
            )
        excerpt = self.dialect.delimiter.join(row)[:EXCERPT]
        return DataError(f"{self.file}:{line}: found {len(row)} columns, expected {len(header)} ({names}): {excerpt!r}")
