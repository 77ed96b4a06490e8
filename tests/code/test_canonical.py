"""What of a source enters its digest, on every Python version."""

import pytest

from peftrec.code.canonical import source_digest

SOURCE = b'''
"""A module."""

from __future__ import annotations

import os
from . import beside


class Shape:
    """A class."""

    width: int = 3
    """A field."""

    def area(self, height: int, /, *others: int, unit: str = "\xc2\xb5m", **rest: int) -> str:
        """A method."""
        # A comment.
        total = self.width * height + sum(others)
        return f"{total:{self.width}} {unit!r}{{}}"


async def read(names: list[str]) -> None:
    async for name in beside.walk(names):
        match name:
            case {"a": [1.5, *_]} | None:
                pass
            case str() as text if (found := text):
                raise ValueError(os.fspath(found)) from None
    try:
        del names[1:2, ...]
    except* (OSError, KeyError) as group:
        print(group, "\xf0\x9f\xab\xa9", b"\\x00", 1j, -0.0, lambda x, *, y=2: x @ y)
'''
DIGEST = "45b33164412671bf"
"""Of Python 3.11.7, 3.12.1, 3.13.0 and 3.14.10, run on the same file. The character U+1FAE9 is printable for 3.14 and
not for 3.11; 3.12 parses a nested format into one more part."""


def test_the_digest_is_that_of_every_python_version() -> None:
    assert source_digest(SOURCE) == DIGEST


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"# A comment.\n", b"# Another.\n\n\n"),
        (b'    """A class."""\n', b""),
        (b'"""A field."""', b'"""Another field."""'),
        (b'        """A method."""\n', b"        pass\n"),
        (b"sum(others)\n", b"sum(\n            others,\n        )\n"),
        (b'unit: str = "\xc2\xb5m"', b"unit: str = '\\u00b5m'"),
        (b'"""A module."""', b'"""' + b"Long. " * 1000 + b'"""'),
    ],
)
def test_what_does_nothing_does_not_count(old: bytes, new: bytes) -> None:
    assert old in SOURCE
    assert source_digest(SOURCE.replace(old, new)) == DIGEST


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"= 3", b"= 4"),
        (b"= 3", b"= 3.0"),
        (b"= 3", b"= True"),
        (b"-0.0", b"0.0"),
        (b"+ sum", b"- sum"),
        (b"sum(others)", b"sum(others[1:])"),
        (b"unit!r", b"unit!s"),
        (b"{{}}", b"{{ }}"),
        (b":{self.width}}", b"}"),
        (b", /, ", b", "),
        (b"from . import", b"from .. import"),
        (b"import os", b"import os as o"),
        (b"except* ", b"except "),
        (b"case str()", b"case bytes()"),
        (b"from None", b""),
        (b"print(group,", b"print([group],"),
        (b"async for", b"for"),
        (b"width: int = 3", b"width = 3"),
    ],
)
def test_what_does_something_counts(old: bytes, new: bytes) -> None:
    assert old in SOURCE
    assert source_digest(SOURCE.replace(old, new)) != DIGEST


def test_source_that_is_no_python_is_an_error() -> None:
    with pytest.raises(SyntaxError):
        source_digest(b"def f(:\n")
