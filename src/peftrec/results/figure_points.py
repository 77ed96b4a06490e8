"""The points of a plot: marker, spread, number, and the front that the best of them make."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from peftrec.results.figure_legend import mark, number_of
from peftrec.results.tpme import pareto_front

NUMBER_SIZE = 8.0
NUMBER_GAP = 3.5
"""Points up or down, and left or right, from a marker's middle to its number."""


@dataclass(frozen=True)
class Point:
    """A strategy in a plot."""

    place: int
    """In the list under the plots, from 0."""
    name: str
    x: float
    y: float
    deviation: float | None
    """Of y over seeds; null with one seed."""
    band: tuple[float, float] | None
    """Lowest and highest x, where other weights change it."""


def draw_points(axes: Axes, points: Sequence[Point]) -> None:
    """Draw markers with their spread, and the front as steps."""
    axes.plot(*zip(*_front_corners(points), strict=True), color="0.6", linewidth=1.2, zorder=1)
    for point in points:
        low, high = point.band or (point.x, point.x)
        axes.errorbar(
            [point.x],
            [point.y],
            yerr=None if point.deviation is None else [point.deviation],
            xerr=None if point.band is None else [[max(0.0, point.x - low)], [max(0.0, high - point.x)]],
            **mark(point.place),
            markersize=7,
            ecolor="0.45",
            elinewidth=0.8,
            capsize=2,
            linestyle="none",
            zorder=3,
        )


def _front_corners(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Return the front as steps: between two of its points nothing better is known than the cheaper one's quality."""
    names = pareto_front({point.name: (point.y, point.x) for point in points})
    front = sorted((point.x, point.y) for point in points if point.name in names)
    corners = front[:1]
    for x, y in front[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return corners


def write_numbers(axes: Axes, points: Sequence[Point]) -> None:
    """Write beside each point its number in the list.

    Call it last: limits and scales must be final, because points crowd where a reader sees them near each other.
    """
    axes.autoscale_view()
    middles = {point.place: tuple(axes.transData.transform((point.x, point.y)).tolist()) for point in points}
    for point in points:
        across, up = _free_corner(point.place, middles)
        axes.annotate(
            number_of(point.place),
            (point.x, point.y),
            xytext=(across * NUMBER_GAP, up * NUMBER_GAP),
            textcoords="offset points",
            ha="left" if across > 0 else "right",
            va="bottom" if up > 0 else "top",
            fontsize=NUMBER_SIZE,
            path_effects=[withStroke(linewidth=2, foreground="white")],
            zorder=5,
        )


def _free_corner(place: int, middles: Mapping[int, tuple[float, float]]) -> tuple[int, int]:
    """Return the signs, to the right and up, of the corner away from the nearest other point.

    The list's order decides for two points of one place, so that their numbers part as well.
    """
    others = [other for other in middles if other != place]
    nearest = min(others, key=lambda other: math.dist(middles[other], middles[place]), default=place)
    (x, y), (near_x, near_y) = middles[place], middles[nearest]
    return (1 if x >= near_x else -1), (1 if (y, place) >= (near_y, nearest) else -1)
