"""The lines of the page's table: the rows of the comparison, then each run by itself."""

from dataclasses import dataclass

from peftrec.results.comparison import Comparison
from peftrec.results.rows import Row, strategy_row
from peftrec.results.runs import Run


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Rows, and runs as rows of their own, which then give the same values in the same way."""

    comparison: Comparison
    runs: tuple[Run, ...]
    """Row by row, by seed."""
    of_runs: tuple[Row, ...]
    """One a run."""
    parents: tuple[int, ...]
    """Of each run, the place of the row that holds it."""

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.comparison.rows

    @property
    def every(self) -> tuple[Row, ...]:
        return self.rows + self.of_runs

    def name(self, place: int) -> str:
        """Return what stands at a line's head."""
        if place >= len(self.rows):
            return f"seed {self.runs[place - len(self.rows)].record.seed}"
        row = self.rows[place]
        return f"{row.strategy}, not chosen" if row.is_chosen is False else row.strategy


def lines_of(comparison: Comparison) -> Lines:
    """Return every line of the table."""
    pairs = [
        (place, run)
        for place, row in enumerate(comparison.rows)
        for run in sorted((*row.runs, *row.others), key=lambda run: (run.record.seed, run.name))
    ]
    return Lines(
        comparison=comparison,
        runs=tuple(run for _, run in pairs),
        of_runs=tuple(strategy_row(run.name, [run]) for _, run in pairs),
        parents=tuple(place for place, _ in pairs),
    )
