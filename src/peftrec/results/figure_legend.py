"""How each strategy is marked, and the numbered list of marks under the plots."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from peftrec.outputs.safe_text import for_line
from peftrec.results.comparison import Comparison

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito, Color Universal Design (2008), without yellow, which paper loses."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
LIST_SIZE = 7.5
CAPTION_SIZE = 6.5
BESIDE_NAME = 6 * LIST_SIZE
"""Points of a column that the mark and the space around it take."""


def write_beneath(figure: Figure, comparison: Comparison, caption: str) -> None:
    """List number, mark and name of every strategy under the plots, in as many columns as fit; then the caption."""
    labels = [f"{number_of(place)}  {for_line(row.strategy)}" for place, row in enumerate(comparison.strategies)]
    handles = [
        Line2D([], [], label=label, linestyle="none", markersize=6, **mark(place)) for place, label in enumerate(labels)
    ]
    legend = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        ncols=_columns(figure, labels),
        frameon=False,
        handlelength=1,
        fontsize=LIST_SIZE,
    )
    lowest = legend.get_window_extent().y0 / figure.bbox.height
    figure.text(0.01, lowest, caption, fontsize=CAPTION_SIZE, color="0.35", va="top")


def _columns(figure: Figure, labels: list[str]) -> int:
    """Return how many columns of the longest label's width the figure has room for."""
    lines = figure.text(0, 0, "\n".join(labels), fontsize=LIST_SIZE)
    width = lines.get_window_extent().width + BESIDE_NAME * figure.dpi / 72
    lines.remove()
    return min(len(labels), max(1, int(figure.bbox.width / width)))


def number_of(place: int) -> str:
    """Return what stands beside the point and before the name of the strategy at a place of the table."""
    return str(place + 1)


def mark(place: int) -> dict[str, Any]:
    """Return colour and marker of the strategy at a place of the table; neither is needed where the other is seen."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "markeredgecolor": "black",
        "markeredgewidth": 0.7,
    }
