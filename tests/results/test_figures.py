"""Figures: the same bytes for the same records, and names that do not cover each other."""

import itertools
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from peftrec.results import figures
from peftrec.results.comparison import compare
from peftrec.results.figure_legend import names_of_points
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


def test_names_too_long_for_a_plot_stand_in_a_numbered_list(experiment: Path, add_run: Callable[..., Path]) -> None:
    """And the list is no wider than the figure, which the package's own warning of a collapsed layout would fail."""
    assert set(names_of_points(compare(find_runs(experiment))).values()) >= {"lora", "iisan"}
    config = find_runs(experiment / "lora-example1")[0].record.config
    for number in range(6):
        changed = {**config, "user_encoder": {"a_rather_long_key": number, "and_another_long_key": number % 2}}
        add_run("lora", 1, f"lora-{number}", config=changed)
    comparison = compare(find_runs(experiment))
    names = names_of_points(comparison)
    assert list(names) == [row.strategy for row in comparison.strategies]
    assert list(names.values()) == [str(number) for number in range(1, len(names) + 1)]
    picture = figures.quality_vs_tpme(comparison)["quality_vs_tpme.png"]
    width = int.from_bytes(picture[16:20], "big")  # of the header
    assert width <= 1.1 * 6.4 * 160


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
