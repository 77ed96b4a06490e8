"""Standard output and error as the command line writes to them: whatever is printed is safe and can be shown.

`peftrec.outputs.safe_text` says what is safe. Libraries print too, and messages quote data, so this is done where
all of it passes. Progress bars move the cursor on purpose: rich's are given the terminal itself (`beneath`), and
tqdm's write to standard error and begin with a carriage return.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from peftrec.outputs.safe_text import for_terminal

PLAIN = str.maketrans(
    dict.fromkeys("─━═╌┄", "-")
    | dict.fromkeys("│┃║╎┆", "|")
    | dict.fromkeys("┌┐└┘├┤┬┴┼┏┓┗┛┡┩┳┻╇╋┠┨┯┷┿╞╡╪╔╗╚╝", "+")
    | {"±": "+-", "\u00d7": "x", "\u2013": "-", "\u2014": "-", "\u2019": "'", "\u201c": '"', "\u201d": '"', "…": "..."}
)
"""What a terminal without these characters shows in their place; others as `\\xe9`."""


class SafeStream:
    """A stream of text whose `write` lets nothing through that a terminal would obey or cannot show."""

    def __init__(self, stream: TextIO, *, keeps_returns: bool) -> None:
        self.stream = stream
        self.keeps_returns = keeps_returns

    def write(self, text: str) -> int:
        """Write, and return how many characters of `text` that were: all of them."""
        if self.keeps_returns:
            safe = "\r".join(for_terminal(part) for part in text.split("\r"))
        else:
            safe = for_terminal(text.replace("\r\n", "\n"))
        self.stream.write(_in_encoding(safe, self.stream.encoding or "utf-8"))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _in_encoding(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, errors="backslashreplace").decode(encoding)
    return text


@contextmanager
def safe_streams() -> Iterator[None]:
    """Let everything that is printed within pass through safe streams."""
    output, error = sys.stdout, sys.stderr
    sys.stdout = cast("TextIO", SafeStream(output, keeps_returns=False))
    sys.stderr = cast("TextIO", SafeStream(error, keeps_returns=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = output, error


def beneath(stream: TextIO) -> TextIO:
    """Return the stream that a safe one writes to, or the stream itself."""
    return stream.stream if isinstance(stream, SafeStream) else stream


def abandon_output() -> None:
    """Send what is still to be written nowhere, because its reader is gone; Python would fail at it once more when the
    program ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
