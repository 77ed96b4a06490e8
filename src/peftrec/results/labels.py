"""Names beside the points of a figure, placed so that none covers another, a point, a line, or the frame."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

GAP = 7.0
"""Points between a marker's middle and its name."""
MARKER = 5.0
LINE = 2.5
DIRECTIONS = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))
DISTANCES = (1.0, 1.7, 2.6, 3.8, 5.2)
SIZE = 8.5
POINTS_PER_INCH = 72
STRAYS = 60.0
"""Weight of a place that is nearer to another point than to its own."""
FAR = 8.0


@dataclass(frozen=True)
class Point:
    """A point in data coordinates and its name."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Stroke:
    """A horizontal or vertical line in data coordinates that names should not cover."""

    start: tuple[float, float]
    end: tuple[float, float]


class Box(NamedTuple):
    """A rectangle in pixels, of plain numbers: thousands are compared, and matplotlib's are arrays."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def area(self) -> float:
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def grown(self, by: float) -> "Box":
        """Return the box with a border around it."""
        return Box(self.x0 - by, self.y0 - by, self.x1 + by, self.y1 + by)

    def common(self, other: "Box") -> "Box | None":
        """Return what both cover; null where they do not touch."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        return Box(x0, y0, x1, y1) if x0 <= x1 and y0 <= y1 else None


def place_labels(axes: Axes, points: Sequence[Point], strokes: Sequence[Stroke] = ()) -> None:
    """Write each name at the nearest free place around its point; a far one gets a thin line to its point.

    Call it last: limits and scales must be final, because places are chosen in pixels.
    """
    scale = _figure(axes).dpi / POINTS_PER_INCH
    middles = {point: _box(axes, (point.x, point.y), (point.x, point.y)) for point in points}
    taken = [middle.grown(MARKER * scale) for middle in middles.values()]
    lines = [_box(axes, stroke.start, stroke.end).grown(LINE * scale) for stroke in strokes]
    frame = Box(*map(float, axes.get_window_extent().extents))
    for point in sorted(points, key=lambda point: (-point.y, point.x, point.name)):
        width, height = _measure(axes, point.name)
        others = [middle for other, middle in middles.items() if other is not point]
        best: tuple[float, Box, tuple[int, int], float] | None = None
        for distance, direction in itertools.product(DISTANCES, DIRECTIONS):
            box = _shifted(middles[point], direction, distance * GAP * scale, width, height)
            strays = any(_gap(box, other) <= _gap(box, middles[point]) for other in others)
            badness = _badness(box, taken, lines, frame) + STRAYS * strays + FAR * distance
            if best is None or badness < best[0]:
                best = (badness, box, direction, distance)
        assert best is not None
        _write(axes, point, best[2], best[3])
        taken.append(best[1])


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return figure


def _box(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> Box:
    (left, bottom), (right, top) = axes.transData.transform([start, end]).tolist()
    return Box(min(left, right), min(bottom, top), max(left, right), max(bottom, top))


def _measure(axes: Axes, text: str) -> tuple[float, float]:
    probe = axes.text(0, 0, text, fontsize=SIZE)
    box = probe.get_window_extent()
    probe.remove()
    return float(box.width), float(box.height)


def _shifted(middle: Box, direction: tuple[int, int], by: float, width: float, height: float) -> Box:
    across, up = direction
    left = middle.x0 + across * by - {1: 0.0, 0: width / 2, -1: width}[across]
    bottom = middle.y0 + up * by - {1: 0.0, 0: height / 2, -1: height}[up]
    return Box(left, bottom, left + width, bottom + height)


def _write(axes: Axes, point: Point, direction: tuple[int, int], distance: float) -> None:
    across, up = direction
    leader = {"arrowstyle": "-", "linewidth": 0.5, "color": "0.4", "shrinkA": 0, "shrinkB": 4}
    axes.annotate(
        point.name,
        (point.x, point.y),
        xytext=(across * GAP * distance, up * GAP * distance),
        textcoords="offset points",
        ha={1: "left", 0: "center", -1: "right"}[across],
        va={1: "bottom", 0: "center", -1: "top"}[up],
        fontsize=SIZE,
        arrowprops=leader if distance > DISTANCES[0] else None,
        path_effects=[withStroke(linewidth=2, foreground="white")],
        zorder=5,
    )


def _badness(box: Box, taken: Sequence[Box], lines: Sequence[Box], frame: Box) -> float:
    """Weigh what a place covers: names and points above lines, sticking out of the frame above all."""
    covered = sum(_area(box.common(other)) for other in taken)
    crossed = sum(box.common(line) is not None for line in lines)
    outside = box.area - _area(box.common(frame))
    return 10 * outside + 3 * covered + 20 * crossed


def _gap(box: Box, middle: Box) -> float:
    """Return the distance in pixels from a box to a point."""
    across = max(box.x0 - middle.x0, 0.0, middle.x0 - box.x1)
    up = max(box.y0 - middle.y0, 0.0, middle.y0 - box.y1)
    return math.hypot(across, up)


def _area(box: Box | None) -> float:
    return 0.0 if box is None else box.area
