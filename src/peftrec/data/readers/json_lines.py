"""One JSON object a line, `.gz` too: flat fields of many lines, which Arrow reads without keeping the rest in memory.

Where something is wrong, Python's slower reader finds the line.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import json as arrow_json

from peftrec.data.stand_ins import WRITE_AGAIN
from peftrec.data.tables.columns import Columns, Wanted
from peftrec.data.tables.lines import EXCERPT, opened, unreadable
from peftrec.errors import DataError

LONGEST_LINE = 2**24
"""Bytes; Arrow reads in blocks of so many, and a line must fit into one."""


def read_json_lines(file: Path, wanted: Sequence[Wanted], whole_numbers: Collection[str] = ()) -> Columns:
    """Return the fields that are wanted: text, or whole numbers for those named so."""
    names = list(dict.fromkeys(column.name for column in wanted))
    types = {name: pa.int64() if name in whole_numbers else pa.string() for name in names}
    try:
        with opened(file) as stream:
            counted = CountedLines(stream)
            table = arrow_json.read_json(
                counted,
                read_options=arrow_json.ReadOptions(block_size=LONGEST_LINE),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=pa.schema(types.items()), unexpected_field_behavior="ignore"
                ),
            ).select(names)
            table.validate(full=True)  # reading looks at no text: it may not be UTF-8
    except OSError as error:
        raise unreadable(file, error) from error
    except pa.ArrowInvalid as error:
        raise _explain(file, types, error) from error
    if not len(table):
        raise DataError(f"{file}: no rows; every line is one JSON object")
    columns = {name: table.column(name) for name in names}
    require_fields(file, columns, wanted)
    has_empty_lines = counted.number != len(table)
    lines = [line for line, _ in filled_lines(file)] if has_empty_lines else range(1, len(table) + 1)
    if len(lines) != len(table):
        raise DataError(f"{file}: {len(table):,} JSON objects in {len(lines):,} lines: write each in a line of its own")
    return Columns(file=file, columns=columns, lines=lines)


class CountedLines:
    """A stream that counts the lines which are read from it."""

    closed = False

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.ends = 0
        self.last = b"\n"

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        content: bytes = self.stream.read(size)
        self.ends += content.count(b"\n")
        self.last = content[-1:] or self.last
        return content

    @property
    def number(self) -> int:
        """Lines so far, empty ones too."""
        return self.ends + (self.last != b"\n")


def filled_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, with their numbers. Raises DataError where one cannot be read."""
    number = 0
    try:
        with opened(file) as stream:
            for number, line in enumerate(_lines(stream), start=1):
                if len(line) > LONGEST_LINE:
                    raise DataError(f"{file}:{number}: the line has more than {LONGEST_LINE:,} bytes")
                if text := line.decode("utf-8").strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}:{number}: byte 0x{error.object[error.start]:02x} is not UTF-8: save the file as UTF-8"
        ) from error
    except OSError as error:
        raise unreadable(file, error, after=number) from error


def _lines(stream: Any) -> Iterator[bytes]:
    """Cut what a stream holds at line feeds; an endless line is given up as soon as it is too long."""
    rest = b""
    while block := stream.read(2**20):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > LONGEST_LINE:
            break
    if rest:
        yield rest


def require_fields(file: Path, columns: Any, wanted: Sequence[Wanted]) -> None:
    """Refuse a file in which no line has a wanted field."""
    for column in wanted:
        if columns[column.name].null_count == len(columns[column.name]):
            raise DataError(f"{file}: no line has a field {column.name!r}: correct {column.key}{column.otherwise}")


def _explain(file: Path, types: dict[str, Any], error: Exception) -> DataError:
    """Say which line is wrong, and why."""
    for number, line in filled_lines(file):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as fault:
            return DataError(f"{file}:{number}: {fault}; every line is one JSON object: {line[:EXCERPT]!r}")
        if not isinstance(row, dict):
            return DataError(f"{file}:{number}: no JSON object: {line[:EXCERPT]!r}")
        for name, kind in types.items():
            value = row.get(name)
            is_right = type(value) is int if pa.types.is_integer(kind) else isinstance(value, str)
            if value is not None and not is_right:
                expected = "a whole number" if pa.types.is_integer(kind) else "text"
                return DataError(f"{file}:{number}: {name} is {value!r}, not {expected}")
            if isinstance(value, str) and has_half_character(value):
                return half_character(f"{file}:{number}", name, value)
    return DataError(f"{file}: the file cannot be read as lines of JSON ({str(error).splitlines()[0]}); {WRITE_AGAIN}")


def has_half_character(text: str) -> bool:
    r"""Say whether a text that JSON can write, such as `"\ud800"`, is one that no UTF-8 can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def half_character(place: str, name: str, text: str) -> DataError:
    """Return what is said of it."""
    return DataError(f"{place}: {name} holds half a character, {text[:EXCERPT]!r}: write whole ones, or remove it")
