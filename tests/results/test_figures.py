"""Figures: the same bytes for the same records, and a number beside each point that the list names."""

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from peftrec.results import figures
from peftrec.results.comparison import Comparison, compare
from peftrec.results.figure_legend import mark
from peftrec.results.figure_points import Point, write_numbers
from peftrec.results.report.report import Report
from peftrec.results.runs import Run, find_runs

DRAWINGS = {"quality_vs_tpme": figures.quality_vs_tpme, "quality_vs_costs": figures.quality_vs_costs}
TEXT = re.compile(r"<!-- (.+?) -->")
"""Above each text of an svg, whose letters are paths."""
NEAR = 12.0
"""From a marker's middle to its number's, in points."""


@pytest.fixture
def comparison(runs: list[Run]) -> Comparison:
    return compare(runs)


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawing_again_gives_the_same_bytes(name: str, comparison: Comparison, written: Report) -> None:
    with mpl.rc_context({"font.size": 20, "svg.hashsalt": "another"}):
        again = DRAWINGS[name](comparison)
    assert set(again) == {f"{name}.png", f"{name}.svg"}
    assert again == {file: written.contents[file] for file in again}
    assert b"<dc:date>" not in again[f"{name}.svg"]
    assert again[f"{name}.png"].startswith(b"\x89PNG")
    assert b"Software" not in again[f"{name}.png"]


def drawn_by(draw: Callable[[Comparison], object], comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """Return what is drawn before it becomes files."""
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    draw(comparison)
    return drawn[0]


def looks(line: Line2D) -> tuple[object, object]:
    return line.get_color(), line.get_marker()


@pytest.mark.parametrize(("name", "plots"), [("quality_vs_tpme", 1), ("quality_vs_costs", 3)])
def test_every_number_is_beside_its_point_and_in_the_list(
    name: str, plots: int, comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = drawn_by(DRAWINGS[name], comparison, monkeypatch)
    (listed,) = figure.legends
    assert len(figure.axes) == plots
    for place, row in enumerate(comparison.strategies):
        look = (mark(place)["color"], mark(place)["marker"])
        assert listed.get_texts()[place].get_text() == f"{place + 1}  {row.strategy}"
        assert looks(listed.legend_handles[place]) == look
        for axes in figure.axes:
            (point,) = (line for line in axes.lines if looks(line) == look)
            assert point.get_ydata() == [row.quality["hr@10"].mean]
            (number,) = (text for text in axes.texts if text.get_text() == str(place + 1))
            middle = axes.transData.transform((point.get_xdata()[0], point.get_ydata()[0]))
            box = number.get_window_extent()
            assert math.dist(middle, ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)) < NEAR * figure.dpi / 72


def test_baselines_keep_their_names(written: Report) -> None:
    texts = TEXT.findall(written.contents["quality_vs_costs.svg"].decode())
    assert texts.count("popularity") == texts.count("random") == 1


def test_a_figure_without_tpme_says_so(example: Path) -> None:
    pictures = figures.quality_vs_tpme(compare(find_runs(example / "lora-example1")))
    assert b"not defined" in pictures["quality_vs_tpme.svg"]


def test_the_list_holds_long_names_and_is_no_wider_than_the_figure(
    experiment: Path, add_run: Callable[..., Path]
) -> None:
    config = find_runs(experiment / "lora-example1")[0].record.config
    for number in range(6):
        changed = {**config, "user_encoder": {"a_rather_long_key": number, "and_another_long_key": number % 2}}
        add_run("lora", 1, f"lora-{number}", config=changed)
    comparison = compare(find_runs(experiment))
    pictures = figures.quality_vs_tpme(comparison)
    texts = TEXT.findall(pictures["quality_vs_tpme.svg"].decode())
    assert len(comparison.strategies) == 13
    for number, row in enumerate(comparison.strategies, start=1):
        assert f"{number}  {row.strategy}" in texts
    width = int.from_bytes(pictures["quality_vs_tpme.png"][16:20], "big")  # of the header
    assert width <= 1.1 * 6.4 * 160


@pytest.mark.parametrize("step", [(0.0, 0.0), (0.01, 0.0), (0.0, 0.01), (0.01, -0.01)])
def test_numbers_of_points_near_each_other_stay_apart(step: tuple[float, float]) -> None:
    figure = Figure(figsize=(6, 4), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    places = [(0.2, 0.5), (0.2 + step[0], 0.5 + step[1]), (0.8, 0.5)]
    write_numbers(axes, [Point(place, str(place), x, y, None, None) for place, (x, y) in enumerate(places)])
    assert [text.get_text() for text in axes.texts] == ["1", "2", "3"]
    for one, other in itertools.combinations(axes.texts, 2):
        assert Bbox.intersection(one.get_window_extent(), other.get_window_extent()) is None
