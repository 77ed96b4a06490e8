"""Tab-separated text without quoting, read so that every error names its line.

csv readers take a stray quote in a title for the start of a field and swallow lines; `str.splitlines` also breaks
at characters that occur inside titles.
"""

import codecs
from pathlib import Path

import pyarrow as pa

from peftrec.data.stand_ins import WRITE_AGAIN, refuse_stand_in
from peftrec.errors import DataError

EXCERPT = 60
"""Characters of a line that a message shows."""

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
NO_TEXT = {
    b"PK\x03\x04": ("a zip (a spreadsheet is one)", "unpack it, or export the table as CSV"),
    b"PAR1": ("Parquet", "let its name end in .parquet"),
    b"\xfd7zXZ\x00": ("compressed by xz", "unpack it: unxz --keep FILE"),
}
"""How files begin that are no text, what they are, and what to do."""
MAGIC_BYTES = 6


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
        with opened(path) as stream:
            content = stream.read()
    except OSError as error:
        raise unreadable(path, error) from error
    return decode_utf8(path, content.removeprefix(codecs.BOM_UTF8))


def unreadable(path: Path, error: OSError, *, after: int = 0) -> DataError:
    """Return what to say of a file that the system, or what decompresses it, cannot read, from line `after` on."""
    remedy = "let this user read it" if isinstance(error, PermissionError) else WRITE_AGAIN
    place = f" after line {after}" * bool(after)
    return DataError(f"{path}: the file cannot be read{place} ({error.strerror or error}); {remedy}")


def opened(path: Path) -> "pa.NativeStream":
    """Open a file of text, decompressed where its first bytes say so: `.csv.gz` may have been unpacked on the way, or a
    gzip be called `.csv`.

    Raises OSError where it cannot be read, DataError where it is no text but a file that programs know by its start.
    """
    refuse_stand_in(path)
    with path.open("rb") as raw:
        start = raw.read(MAGIC_BYTES)
    for magic, (name, remedy) in NO_TEXT.items():
        if start.startswith(magic):
            raise DataError(f"{path}: the file is {name} and no text, whatever its name says: {remedy}")
    compression = next((name for magic, name in COMPRESSIONS.items() if start.startswith(magic)), None)
    return pa.input_stream(path, compression=compression)


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
