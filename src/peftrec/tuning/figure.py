"""Quality against budget, a line a strategy or combination; the same trials draw the same bytes."""

import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from peftrec.results.figures import STYLE
from peftrec.tuning.expectation import BudgetCurve

_MARKERS = "osD^v<>pPX*h"
_SIZE = (6.4, 4.2)


def draw_curves(curves: Sequence[BudgetCurve], monitor: str, untrained: Mapping[str, float]) -> bytes:
    """Return an svg: the expected best validation figure of n trials, its 95 % interval as a bar; `untrained` are the
    best figures of what trains nothing, whose trials cost next to nothing."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for place, curve in enumerate(curves):
            trials = [n + 0.03 * (place - len(curves) / 2) for n in range(1, len(curve.expected) + 1)]
            below = [mean - low for mean, low in zip(curve.expected, curve.low, strict=True)]
            above = [high - mean for mean, high in zip(curve.expected, curve.high, strict=True)]
            axes.errorbar(
                trials,
                curve.expected,
                yerr=[[max(0.0, each) for each in below], [max(0.0, each) for each in above]],
                marker=_MARKERS[place % len(_MARKERS)],
                markersize=4,
                linewidth=1,
                elinewidth=0.6,
                label=f"{curve.strategy}, {curve.seconds_per_trial:.0f} s a trial",
            )
        for name, value in untrained.items():
            axes.axhline(value, color="0.4", linewidth=0.8, linestyle="--", label=f"{name}, best of all trials")
        axes.set_xlabel("random trials")
        axes.set_ylabel(f"expected best validation {monitor}")
        axes.set_xlim(0.5, max((len(curve.expected) for curve in curves), default=1) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if curves:
            figure.legend(loc="outside right upper", fontsize=7, frameon=False)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
