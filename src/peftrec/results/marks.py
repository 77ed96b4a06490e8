"""How each strategy is marked, and the list of marks under the plots."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from peftrec.results.comparison import Comparison

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito, Color Universal Design (2008), without yellow, which paper loses."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")


def write_beneath(figure: Figure, comparison: Comparison, caption: str, *, columns: int) -> None:
    """List the set compared under the plots, so that marks stay readable where points crowd; then the caption."""
    handles = [
        Line2D([], [], label=row.strategy, linestyle="none", markersize=6, **mark(place))
        for place, row in enumerate(comparison.strategies)
    ]
    legend = figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 0), ncols=columns, frameon=False, fontsize=7.5
    )
    figure.canvas.draw()
    lowest = legend.get_window_extent().y0 / figure.bbox.height
    figure.text(0.01, lowest, caption, fontsize=6.5, color="0.35", va="top")


def mark(place: int) -> dict[str, Any]:
    """Return colour and marker of the strategy at a place of the table; neither is needed where the other is seen."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "markeredgecolor": "black",
        "markeredgewidth": 0.7,
    }
