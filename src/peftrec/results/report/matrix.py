"""Who is better than whom: the tests of all pairs as a square table, row less column."""

from typing import Any

from peftrec.results.report.grids import Cell, Grid, Line
from peftrec.results.tested import Tested
from peftrec.results.tested_text import p_text

SIGNS = {"better": "▲", "worse": "▼", "equivalent": "=", "undecided": "·"}
OPPOSITE = {"better": "worse", "worse": "better"}


def matrices(tested: Tested) -> list[Grid]:
    """Return a square table a metric; none where there are no pairs."""
    grids = []
    for metric, pairs in tested.pairs.groupby("metric", sort=False):
        names = list(dict.fromkeys([*pairs["strategy_a"], *pairs["strategy_b"]]))
        cells: dict[tuple[str, str], Cell] = {}
        for row in pairs.to_dict("records"):
            one, other, verdict = row["strategy_a"], row["strategy_b"], str(row["verdict"])
            cells[one, other] = _cell(row, row["difference"], verdict)
            cells[other, one] = _cell(row, -row["difference"], OPPOSITE.get(verdict, verdict))
        lines = [Line((Cell(one), *(cells.get((one, other), Cell()) for other in names))) for one in names]
        grids.append(Grid(("row less column", *names), tuple(lines), str(metric)))
    return grids


def _cell(row: Any, difference: float, verdict: str) -> Cell:
    return Cell(f"{SIGNS[verdict]} {difference:+.4f}", note=f"p {p_text(row['p_holm'])}", kind=verdict)
