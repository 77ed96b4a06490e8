"""Lines of JSON whose text is none: the file and the line are named, whichever reader meets it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from peftrec.data.readers.json_lines import read_json_lines
from peftrec.data.readers.object_lines import parse_json, parse_literal, read_objects
from peftrec.data.tables.columns import Columns, Wanted
from peftrec.errors import DataError

WANTED = [Wanted("data.key", "a")]
READERS: dict[str, Callable[[Path], Columns]] = {
    "lines": lambda file: read_json_lines(file, WANTED),
    "objects": lambda file: read_objects(file, WANTED, parse_json),
    "literals": lambda file: read_objects(file, WANTED, parse_literal),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"a": "\xf0"}', "byte 0xf0 is not UTF-8: save the file as UTF-8"),
        (b'{"a": "n\xf0\x9f"}', "byte 0xf0 is not UTF-8: save the file as UTF-8"),
        (b'{"a": "\\ud800 x"}', r"a holds half a character, '\ud800 x': write whole ones, or remove it"),
        (b'{"a": "x \\udc00"}', r"a holds half a character, 'x \udc00': write whole ones, or remove it"),
    ],
)
def test_text_that_is_none_is_named(reader: str, line: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "items.json"
    file.write_bytes(b'{"a": "x"}\n\n' + line + b"\n")
    with pytest.raises(DataError) as refused:
        READERS[reader](file)
    assert str(refused.value) == f"{file}:3: {said}"


@pytest.mark.parametrize("reader", READERS)
def test_a_character_of_two_halves_is_one(reader: str, tmp_path: Path) -> None:
    file = tmp_path / "items.json"
    file.write_bytes(b'{"a": "\\ud83d\\ude00"}\n{"a": null}\n')
    assert READERS[reader](file).texts("a") == ["\U0001f600", ""]
