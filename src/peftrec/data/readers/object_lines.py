"""One object a line, whose fields hold texts, numbers, lists and further objects: what shops publish about items.

Such fields change their types from line to line (a price is a number, or a text, or missing), which Arrow refuses; so
each line is read by itself, and what a field holds becomes one text.
"""

import ast
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from peftrec.data.readers.json_lines import filled_lines, half_character, has_half_character, require_fields
from peftrec.data.tables.columns import Columns, Wanted
from peftrec.data.tables.lines import EXCERPT
from peftrec.errors import DataError

Parse = Callable[[str], Any]

parse_json: Parse = json.loads


def parse_literal(line: str) -> Any:
    """Read a line of JSON, or of a Python literal, of which nothing is ever evaluated."""
    try:
        return json.loads(line)  # first: what is both is written as JSON writes it (`\\/`, surrogate pairs)
    except ValueError:
        return ast.literal_eval(line)


def read_objects(file: Path, wanted: Sequence[Wanted], parse: Parse) -> Columns:
    """Return the fields that are wanted as text.

    A field is named by its path: `images.0.large` is `large` of the first of `images`. A list of texts becomes one.
    Raises DataError that names the line.
    """
    values: dict[str, list[str | None]] = {column.name: [] for column in wanted}
    paths = {name: name.split(".") for name in values}
    lines: list[int] = []
    for number, line in filled_lines(file):
        row = _parsed(file, number, line, parse)
        lines.append(number)
        for name, path in paths.items():
            text = text_of(value_at(row, path))
            if text is not None and has_half_character(text):
                raise half_character(f"{file}:{number}", name, text)
            values[name].append(text)
    if not lines:
        raise DataError(f"{file}: no rows; every line is one object")
    columns = {name: pa.chunked_array([pa.array(texts, type=pa.string())]) for name, texts in values.items()}
    require_fields(file, columns, wanted)
    return Columns(file=file, columns=columns, lines=lines)


def _parsed(file: Path, number: int, line: str, parse: Parse) -> dict[str, Any]:
    try:
        row = parse(line)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:  # the last two: nested without end
        reason = str(error).partition(": <ast.")[0]  # a node, by its address
        raise DataError(f"{file}:{number}: not one object ({reason}): {line[:EXCERPT]!r}") from error
    if not isinstance(row, dict):
        raise DataError(f"{file}:{number}: not one object: {line[:EXCERPT]!r}")
    return row


def value_at(value: Any, path: Sequence[str]) -> Any:
    """Return what lies at a path, None where nothing does."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def text_of(value: Any) -> str | None:
    """Return a text or number as text, and the texts of a list with spaces between; None where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        texts = [text for each in value if (text := text_of(each))]
        return " ".join(texts) if texts else None
    return None
