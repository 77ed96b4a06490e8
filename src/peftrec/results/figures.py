"""Quality against cost, to be read on paper: markers differ, names stand beside their points, nothing needs colour.

The same comparison draws the same bytes: no date, no random ids.
"""

import io
import itertools
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from peftrec.results.comparison import Comparison
from peftrec.results.figure_legend import mark, names_of_points, write_beneath
from peftrec.results.labels import Point, Stroke, place_labels
from peftrec.results.rows import Row
from peftrec.results.tables import MEBIBYTE
from peftrec.results.tpme import pareto_front

METRIC = "hr@10"
LOG_FROM = 10.0
"""An axis is logarithmic where its largest value is at least this many times its smallest."""
CAPTION_WIDTH = {"quality_vs_tpme": 130, "quality_vs_costs": 240}
COLUMNS = {"quality_vs_tpme": 5, "quality_vs_costs": 10}
MANY_TICKS_BELOW = 100.0
LONG_NUMBERS_FROM = 10_000
_MOST_TICKS = 4
"""Of long numbers, which are written over each other where they are more."""
LINE_HEIGHT = 12.0
"""Points that one line of text takes of the figure's height, with air for what the axes do not fill."""
FLOOR_STYLES = ((0, (6, 3)), (0, (1, 2)), (0, (6, 2, 1, 2)))
STYLE: dict[str, Any] = {
    "svg.hashsalt": "peftrec",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}


@dataclass(frozen=True)
class Panel:
    """One plot: what its horizontal axis shows."""

    title: str
    value: Callable[[Row], float | None]
    band: Callable[[Row], tuple[float, float] | None] = lambda _: None
    can_be_logarithmic: bool = True


def quality_vs_tpme(comparison: Comparison) -> dict[str, bytes]:
    """Draw quality against TPME, the bar across each point the band of TPME over the alphas."""
    panel = Panel(
        "TPME (lower is better)",
        lambda row: comparison.tpme.get(row.strategy),
        lambda row: comparison.band.get(row.strategy),
        can_be_logarithmic=False,
    )
    return _draw("quality_vs_tpme", comparison, [panel], (6.4, 4.2))


def quality_vs_costs(comparison: Comparison) -> dict[str, bytes]:
    """Draw quality against each raw cost in a panel of its own."""
    panels = [
        Panel("seconds per epoch", lambda row: row.cost.seconds_per_epoch if row.cost else None),
        Panel("trainable parameters", lambda row: row.cost.trainable_parameters if row.cost else None),
        Panel("peak memory (MiB)", _mebibytes),
    ]
    return _draw("quality_vs_costs", comparison, panels, (12.0, 4.2))


def _mebibytes(row: Row) -> float | None:
    if row.cost is None or row.cost.peak_memory_bytes is None:
        return None
    return row.cost.peak_memory_bytes / MEBIBYTE


def _draw(name: str, comparison: Comparison, panels: Sequence[Panel], size: tuple[float, float]) -> dict[str, bytes]:
    """Return file name to content, a png and an svg."""
    defaults: dict[Any, Any] = {
        key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith("backend")
    }
    with mpl.rc_context(defaults | STYLE):
        figure = Figure(figsize=size, layout="constrained", dpi=160)
        FigureCanvasAgg(figure)
        every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, panel in zip(every, panels, strict=True):
            _fill(axes, panel, comparison)
            _draw_floors(axes, comparison)
        every[0].set_ylim(bottom=0)
        _name_floors(every[-1], comparison, apart=LINE_HEIGHT / (size[1] * 72))
        every[0].set_ylabel(f"test {METRIC}")
        write_beneath(figure, comparison, _caption(name, comparison), columns=COLUMNS[name])
        for axes, panel in zip(every, panels, strict=True):
            _name_points(axes, panel, comparison)
        return {
            f"{name}.png": _bytes(figure, "png", {"Software": None}),
            f"{name}.svg": _bytes(figure, "svg", {"Date": None, "Creator": None}),
        }


def _caption(name: str, comparison: Comparison) -> str:
    """Return the lines under the plots: what the marks mean, and over which set and data."""
    bars = "Vertical bars: standard deviation over seeds. "
    if name == "quality_vs_tpme":
        bars += "Horizontal bars: TPME over other weights. "
    text = f"Experiment {', '.join(comparison.experiments)}. {bars}Grey steps: Pareto front. Dashed: floors."
    return textwrap.fill(f"{text} TPME and front are of the set listed.", CAPTION_WIDTH[name])


def _fill(axes: Axes, panel: Panel, comparison: Comparison) -> None:
    points = _points(panel, comparison)
    axes.set_xlabel(panel.title)
    if not points:
        axes.text(0.5, 0.5, "not defined for these runs:\nsee the notes", transform=axes.transAxes, ha="center")
        axes.set_xticks([])
        return
    _scale(axes, panel, [point.x for point in points])
    corners = _front_corners(points)
    axes.plot(*zip(*corners, strict=True), color="0.6", linewidth=1.2, zorder=1)
    shown = _shown(panel, comparison)
    for place, row in enumerate(comparison.strategies):
        if row in shown:
            _draw_strategy(axes, row, panel, place)
    axes.margins(x=0.14, y=0.1)


def _scale(axes: Axes, panel: Panel, values: Sequence[float]) -> None:
    """Choose a logarithmic axis for a wide range of raw costs, with ticks that are plain numbers."""
    if max(values) >= LONG_NUMBERS_FROM:
        axes.xaxis.set_major_locator(MaxNLocator(_MOST_TICKS))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    is_wide = min(values) > 0 and max(values) / min(values) >= LOG_FROM
    if not (panel.can_be_logarithmic and is_wide):
        return
    axes.set_xscale("log")
    subdivisions = (1.0, 2.0, 5.0) if max(values) / min(values) < MANY_TICKS_BELOW else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subdivisions))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _shown(panel: Panel, comparison: Comparison) -> list[Row]:
    return [row for row in comparison.strategies if METRIC in row.quality and panel.value(row) is not None]


def _points(panel: Panel, comparison: Comparison) -> list[Point]:
    return [
        Point(row.strategy, float(panel.value(row) or 0.0), row.quality[METRIC].mean)
        for row in _shown(panel, comparison)
    ]


def _draw_strategy(axes: Axes, row: Row, panel: Panel, place: int) -> None:
    value = float(panel.value(row) or 0.0)
    quality = row.quality[METRIC]
    band = panel.band(row)
    across = None if band is None else [[max(0.0, value - band[0])], [max(0.0, band[1] - value)]]
    axes.errorbar(
        [value],
        [quality.mean],
        yerr=None if quality.std is None else [quality.std],
        xerr=across,
        **mark(place),
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


def _name_points(axes: Axes, panel: Panel, comparison: Comparison) -> None:
    """Write the names clear of points, spreads, front and floors."""
    points = _points(panel, comparison)
    names = names_of_points(comparison)
    corners = _front_corners(points)
    strokes = [Stroke(start, end) for start, end in itertools.pairwise(corners)]
    left, right = axes.get_xlim()
    strokes += [Stroke((left, level), (right, level)) for level in _floors(comparison).values()]
    for row, point in zip(_shown(panel, comparison), points, strict=True):
        std, band = row.quality[METRIC].std, panel.band(row)
        if std is not None:
            strokes.append(Stroke((point.x, point.y - std), (point.x, point.y + std)))
        if band is not None:
            strokes.append(Stroke((band[0], point.y), (band[1], point.y)))
    place_labels(axes, [replace(point, name=names[point.name]) for point in points], strokes)


def _floors(comparison: Comparison) -> dict[str, float]:
    return {row.strategy: row.quality[METRIC].mean for row in comparison.floors if METRIC in row.quality}


def _draw_floors(axes: Axes, comparison: Comparison) -> None:
    for place, level in enumerate(_floors(comparison).values()):
        style = FLOOR_STYLES[place % len(FLOOR_STYLES)]
        axes.axhline(level, color="0.3", linewidth=0.9, linestyle=style, zorder=0)


def _name_floors(axes: Axes, comparison: Comparison, *, apart: float) -> None:
    """Write the floors' names at the right end of their lines, `apart` of the figure's height at least."""
    lowest = -math.inf
    for name, level in sorted(_floors(comparison).items(), key=lambda item: item[1]):
        height = max(level, lowest)
        lowest = height + apart * axes.get_ylim()[1]
        axes.text(1.01, height, name, transform=axes.get_yaxis_transform(), fontsize=7.5, va="center")


def _bytes(figure: Figure, kind: str, metadata: dict[str, str | None]) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=metadata, bbox_inches="tight", pad_inches=0.08)
    return stream.getvalue()
