"""Tab-separated text without quoting, read so that every error names its line.

csv readers take a stray quote in a title for the start of a field and swallow lines; `str.splitlines` also breaks
at characters that occur inside titles.
"""

import codecs
from pathlib import Path

from peftrec.errors import DataError

EXCERPT = 60
"""Characters of a line that a message shows."""


def read_rows(path: Path, columns: tuple[str, ...]) -> list[list[str]]:
    """Return the columns of every line, row r from line r + 1; trailing empty lines are ignored, others refused."""
    lines = [line.removesuffix("\r") for line in _decode(path).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"{path}: the file is empty; expected lines of {'<TAB>'.join(columns)}")
    rows = [line.split("\t") for line in lines]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise DataError(
                f"{path}:{number}: found {len(row)} tab-separated column{'s' * (len(row) != 1)}, "
                f"expected {len(columns)} ({'<TAB>'.join(columns)}): {lines[number - 1][:EXCERPT]!r}"
            )
    return rows


def _decode(path: Path) -> str:
    try:
        content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise DataError(f"{path}: the file cannot be read ({error.strerror})") from error
    return decode_utf8(path, content)


def decode_utf8(path: Path, content: bytes) -> str:
    """Decode the content of `path`. Raises DataError that names the line and the byte."""
    refuse_utf16(path, content)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: byte 0x{content[error.start]:02x} is not UTF-8: save the file as UTF-8"
        ) from error


def refuse_utf16(path: Path, content: bytes) -> None:
    """Raise DataError for a file of two bytes a character, which spreadsheets call Unicode text."""
    start = content[:2]
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or 0 in start:
        raise DataError(
            f"{path}: the file is UTF-16 and not UTF-8: save it as UTF-8 (spreadsheets call it CSV UTF-8), or convert "
            "it: iconv -f UTF-16 -t UTF-8"
        )
