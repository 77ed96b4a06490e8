"""Quality against cost, to be read on paper: markers differ, points have numbers, nothing needs colour.

The same comparison draws the same bytes: no date, no random ids.
"""

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from peftrec.outputs.safe_text import for_line
from peftrec.results.comparison import Comparison
from peftrec.results.figure_legend import write_beneath
from peftrec.results.figure_points import Point, draw_points, write_numbers
from peftrec.results.rows import Row
from peftrec.results.tables import MEBIBYTE

METRIC = "hr@10"
LOG_FROM = 10.0
"""An axis is logarithmic where its largest value is at least this many times its smallest."""
CAPTION_WIDTH = {"quality_vs_tpme": 130, "quality_vs_costs": 240}
MANY_TICKS_BELOW = 100.0
LONG_NUMBERS_FROM = 10_000
_MOST_TICKS = 4
"""Of long numbers, which are written over each other where they are more."""
LINE_HEIGHT = 12.0
"""Points that one line of text takes of the figure's height, with air for what the axes do not fill."""
MARGINS = {"left": 0.7, "right": 0.9, "bottom": 0.5, "top": 0.1}
"""Inches around the plots. They fit the texts that are usual there; longer ones make the picture larger."""
BETWEEN_PLOTS = 0.06
"""Of a plot's width."""
PADDING = 0.08
BASELINE_STYLES = ((0, (6, 3)), (0, (1, 2)), (0, (6, 2, 1, 2)))
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
    "text.parse_math": False,  # a dollar in a name is a dollar
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
        figure = Figure(figsize=size, dpi=160)
        FigureCanvasAgg(figure)
        every = figure.subplots(1, len(panels), sharey=True, squeeze=False, gridspec_kw=_places(*size))[0]
        for axes, panel in zip(every, panels, strict=True):
            _fill(axes, panel, comparison)
            _draw_baselines(axes, comparison)
        every[0].set_ylim(bottom=0)
        _name_baselines(every[-1], comparison, apart=LINE_HEIGHT / (size[1] * 72))
        every[0].set_ylabel(f"test {METRIC}")
        write_beneath(figure, comparison, _caption(name, comparison))
        for axes, panel in zip(every, panels, strict=True):
            write_numbers(axes, _points(panel, comparison))
        shown = figure.get_tightbbox().padded(PADDING)
        return {
            f"{name}.png": _bytes(figure, "png", shown, {"Software": None}),
            f"{name}.svg": _bytes(figure, "svg", shown, {"Date": None, "Creator": None}),
        }


def _places(width: float, height: float) -> dict[str, float]:
    """Return where the plots lie in a figure of this size, in fractions of it.

    Fixed places take no drawing to find out, which a layout that measures texts does several times.
    """
    return {
        "left": MARGINS["left"] / width,
        "right": 1 - MARGINS["right"] / width,
        "bottom": MARGINS["bottom"] / height,
        "top": 1 - MARGINS["top"] / height,
        "wspace": BETWEEN_PLOTS,
    }


def _caption(name: str, comparison: Comparison) -> str:
    """Return the lines under the plots: what the marks mean, and over which set and data."""
    bars = "Vertical bars: standard deviation over seeds. "
    if name == "quality_vs_tpme":
        bars += "Horizontal bars: TPME over other weights. "
    text = (
        f"Experiment {for_line(', '.join(comparison.experiments))}. {bars}Grey steps: Pareto front. Dashed: baselines."
    )
    return textwrap.fill(f"{text} TPME and front are of the set listed.", CAPTION_WIDTH[name])


def _fill(axes: Axes, panel: Panel, comparison: Comparison) -> None:
    points = _points(panel, comparison)
    axes.set_xlabel(panel.title)
    if not points:
        axes.text(0.5, 0.5, "not defined for these runs:\nsee the notes", transform=axes.transAxes, ha="center")
        axes.set_xticks([])
        return
    _scale(axes, panel, [point.x for point in points])
    draw_points(axes, points)
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


def _points(panel: Panel, comparison: Comparison) -> list[Point]:
    points = []
    for place, row in enumerate(comparison.strategies):
        value, quality = panel.value(row), row.quality.get(METRIC)
        if value is not None and quality is not None:
            points.append(Point(place, row.strategy, float(value), quality.mean, quality.std, panel.band(row)))
    return points


def _baselines(comparison: Comparison) -> dict[str, float]:
    return {row.strategy: row.quality[METRIC].mean for row in comparison.baselines if METRIC in row.quality}


def _draw_baselines(axes: Axes, comparison: Comparison) -> None:
    for place, level in enumerate(_baselines(comparison).values()):
        style = BASELINE_STYLES[place % len(BASELINE_STYLES)]
        axes.axhline(level, color="0.3", linewidth=0.9, linestyle=style, zorder=0)


def _name_baselines(axes: Axes, comparison: Comparison, *, apart: float) -> None:
    """Write the baselines' names at the right end of their lines, `apart` of the figure's height at least."""
    lowest = -math.inf
    for name, level in sorted(_baselines(comparison).items(), key=lambda item: item[1]):
        height = max(level, lowest)
        lowest = height + apart * axes.get_ylim()[1]
        axes.text(1.01, height, for_line(name), transform=axes.get_yaxis_transform(), fontsize=7.5, va="center")


def _bytes(figure: Figure, kind: str, shown: Bbox, metadata: dict[str, str | None]) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=metadata, bbox_inches=shown)
    return stream.getvalue()
