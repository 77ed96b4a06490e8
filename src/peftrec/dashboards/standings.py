"""What a run has only beside others, for the trackers that show runs one by one."""

from peftrec.results.comparison import Comparison
from peftrec.trackers.figures import Standing


def standings(comparison: Comparison) -> dict[str, Standing]:
    """Return each run's standing by its name; all seeds of a row share it."""
    found: dict[str, Standing] = {}
    for row in comparison.strategies:
        low, high = comparison.band.get(row.strategy, (None, None))
        standing = Standing(
            row=row.strategy,
            tpme=comparison.tpme.get(row.strategy),
            tpme_low=low,
            tpme_high=high,
            pscp=comparison.pscp.get(row.strategy),
            is_on_front=comparison.front.get(row.strategy),
        )
        found |= {run.name: standing for run in row.runs}
    return found
