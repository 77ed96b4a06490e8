"""What the terminal can show."""

import os
import sys
from collections.abc import Sequence


def shows_progress() -> bool:
    """Say whether progress bars make sense: on a terminal, and not in continuous integration."""
    return sys.stdout.isatty() and not os.environ.get("CI")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines in which columns begin below each other, without spaces at the end."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
