"""What the terminal can show, and what a log gets in its place."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from peftrec.outputs.safe_text import each_for_line
from peftrec.outputs.streams import beneath

_LINE_SECONDS = 30.0


def shows_progress() -> bool:
    """Say whether progress bars make sense: on a terminal, and not in continuous integration."""
    return sys.stdout.isatty() and not os.environ.get("CI")


def give_bars_the_terminal() -> None:
    """Let rich's bars, Lightning's among them, move the cursor, which nothing else that is printed can."""
    import rich

    rich.reconfigure(file=beneath(sys.stdout))


@contextmanager
def counting(
    what: str, total: int, *, is_shown: bool = True, line_seconds: float = _LINE_SECONDS
) -> Iterator[Callable[[int], None]]:
    """Show how much of `total` is done while the block runs and calls what it gets with amounts.

    On a terminal that is a bar; elsewhere a line on standard error now and then, none of work that is done sooner:
    `items encoded: 3,200 of 20,314 after 0.5 min, 2.7 min left`.
    """
    if not is_shown:
        yield lambda _: None
    elif shows_progress():
        from rich.progress import Progress

        give_bars_the_terminal()
        with Progress(transient=True) as progress:
            task = progress.add_task(what, total=total)
            yield lambda amount: progress.advance(task, amount)
    else:
        yield CountedLines(what, total, line_seconds).advance


class CountedLines:
    """Counts, and writes a line when the last one is some seconds old."""

    def __init__(self, what: str, total: int, line_seconds: float = _LINE_SECONDS) -> None:
        self.what = what
        self.total = total
        self.line_seconds = line_seconds
        self.done = 0
        self.started = self.written = time.monotonic()

    def advance(self, amount: int) -> None:
        """Add to what is done."""
        self.done += amount
        now = time.monotonic()
        if self.done and now - self.written >= self.line_seconds:
            self.written = now
            minutes = (now - self.started) / 60
            print(
                f"{self.what}: {self.done:,} of {self.total:,} after {minutes:,.1f} min, "
                f"{(self.total - self.done) / self.done * minutes:,.1f} min left",
                file=sys.stderr,
                flush=True,
            )


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines in which columns begin below each other, without spaces at the end."""
    rows = [each_for_line(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
