"""Figures: the same bytes for the same records, and names that do not cover each other."""

import itertools
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from peftrec.results import figures
from peftrec.results.comparison import compare
from peftrec.results.labels import Point, Stroke, place_labels
from peftrec.results.runs import Run, find_runs


@pytest.mark.parametrize("draw", [figures.quality_vs_tpme, figures.quality_vs_costs])
def test_drawing_twice_gives_the_same_bytes(runs: list[Run], draw: object) -> None:
    comparison = compare(runs)
    assert callable(draw)
    first = draw(comparison)
    with mpl.rc_context({"font.size": 20, "svg.hashsalt": "another"}):
        assert draw(comparison) == first
    svg = next(content for name, content in first.items() if name.endswith(".svg"))
    assert b"<dc:date>" not in svg
    png = next(content for name, content in first.items() if name.endswith(".png"))
    assert png.startswith(b"\x89PNG")
    assert b"Software" not in png


def test_a_figure_without_tpme_says_so(experiment: Path) -> None:
    pictures = figures.quality_vs_tpme(compare(find_runs(experiment / "lora-example1")))
    assert b"not defined" in pictures["quality_vs_tpme.svg"]


def test_names_of_crowded_points_stay_apart() -> None:
    figure = Figure(figsize=(6, 4), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    points = [Point(f"strategy {place}", 0.5 + 0.02 * place, 0.5 + 0.01 * place) for place in range(6)]
    place_labels(axes, points, [Stroke((0.5, 0.0), (0.5, 1.0))])
    figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the lines that lead to the points
    assert len(boxes) == len(points)
    for one, other in itertools.combinations(boxes, 2):
        assert Bbox.intersection(one, other) is None
