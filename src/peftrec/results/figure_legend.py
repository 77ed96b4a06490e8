"""How each strategy is marked, and the list of marks under the plots."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from peftrec.results.comparison import Comparison

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito, Color Universal Design (2008), without yellow, which paper loses."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")


LONGEST_NAME = 28
"""Characters of a name that may stand beside its point."""


def names_of_points(comparison: Comparison) -> dict[str, str]:
    """Return what stands beside each strategy's point: its name, or where one is too long for that, its number in the
    list under the plots."""
    names = [row.strategy for row in comparison.strategies]
    is_short = all(len(name) <= LONGEST_NAME for name in names)
    return {name: name if is_short else str(number) for number, name in enumerate(names, start=1)}


def write_beneath(figure: Figure, comparison: Comparison, caption: str, *, columns: int) -> None:
    """List the set compared under the plots, so that marks stay readable where points crowd; then the caption."""
    names = names_of_points(comparison)
    labels = [name if short == name else f"{short}  {name}" for name, short in names.items()]
    handles = [
        Line2D([], [], label=label, linestyle="none", markersize=6, **mark(place)) for place, label in enumerate(labels)
    ]
    for number in range(columns, 0, -1):  # as many columns as fit
        legend = figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0, 0), ncols=number, frameon=False, fontsize=7.5
        )
        legend.set_in_layout(False)  # it stands below the figure, where the plots give up no room for it
        figure.canvas.draw()
        if number == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
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
