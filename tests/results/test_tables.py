"""Tables as csv, Markdown and terminal text."""

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from peftrec.results import tables
from peftrec.results.comparison import Comparison, compare, table
from peftrec.results.runs import Run, find_runs


@pytest.fixture
def comparison(runs: list[Run]) -> Comparison:
    return compare(runs)


def test_csv_reads_back_equal(comparison: Comparison) -> None:
    for frame in (table(comparison), tables.segments(comparison)):
        again = pd.read_csv(io.StringIO(tables.to_csv(frame)))
        again = again.astype({name: kind for name, kind in frame.dtypes.items() if str(kind) not in {"object", "str"}})
        pd.testing.assert_frame_equal(again, frame, check_exact=True, check_dtype=False)


def test_counts_are_whole_numbers_in_csv(comparison: Comparison) -> None:
    """Though baselines beside them have none."""
    frame = table(comparison)
    lines = pd.read_csv(io.StringIO(tables.to_csv(frame)), dtype=str).set_index("strategy")
    for column in ("seeds", "trainable_parameters", "peak_memory_bytes"):
        assert lines.loc["lora", column] == str(frame.set_index("strategy").loc["lora", column])


def test_baselines_have_empty_cells_in_csv(comparison: Comparison) -> None:
    line = next(line for line in tables.to_csv(table(comparison)).splitlines() if line.startswith("popularity"))
    assert line.split(",")[:8] == ["popularity", "", "0.04", "0.02", "", "", "", ""]


def test_markdown_is_a_grid_with_protocol_and_notes(comparison: Comparison) -> None:
    text = tables.to_markdown(comparison)
    grid = text.splitlines()[2:13]
    assert len({line.count("|") for line in grid}) == 1
    assert "| **120,000** |" in text
    assert "Full ranking over" in text
    assert "1,950.0 MiB" in text
    assert all(note in text for note in comparison.notes)


def test_best_is_highest_quality_and_lowest_cost_and_never_a_baseline(comparison: Comparison) -> None:
    frame, best = table(comparison), tables.best_cells(comparison)
    names = {column: frame.loc[best[column], "strategy"].tolist() for column in best.columns}
    assert names["seconds_per_epoch"] == ["id"]
    assert names["trainable_parameters"] == ["frozen"]
    assert names["hr@10"] == frame.loc[[frame["hr@10"].astype(float).idxmax()], "strategy"].tolist()
    assert names["strategy"] == names["seeds"] == []


@pytest.mark.parametrize(("best", "is_marked"), [(0.0, False), (0.00004, False), (0.0002, True)])
def test_nothing_is_best_where_all_read_as_zero(runs: list[Run], best: float, is_marked: bool) -> None:
    for number, run in enumerate(runs):
        run.evaluation.test["hr@10"] = best if number == 0 else 0.0
    assert tables.best_cells(compare(runs))["hr@10"].any() == is_marked


def test_status_text_stands_in_the_row(experiment: Path, change: Callable[..., None]) -> None:
    for seed in (1, 2):
        change(experiment / f"fft-example{seed}", status="out_of_memory", error="50% of {memory}_gone", evaluation=None)
    comparison = compare(find_runs(experiment))
    assert "| fft | 0 | out of memory |" in tables.to_markdown(comparison)


def test_terminal_text_has_every_row_and_note(comparison: Comparison) -> None:
    text = tables.to_terminal(comparison)
    assert all(row.strategy in text for row in comparison.rows)
    assert all(line in text for line in (*comparison.protocol, *comparison.notes))
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.0, "0"), (0.01234, "0.0123"), (22.06, "22.1"), (443.4, "443"), (12345.6, "12,346")],
)
def test_numbers_read_well(value: float | None, text: str) -> None:
    assert tables.number_text(value) == text


def test_segments_show_users(comparison: Comparison) -> None:
    frame = tables.segments(comparison)
    assert set(frame["segment"]) == {"all", "warm", "cold", "history_3_to_6", "history_7_to_10"}
    sizes = frame[frame["strategy"] == "lora"].set_index("segment")["num_users"]
    assert sizes["warm"] + sizes["cold"] == 60
    assert f"warm ({sizes['warm']} users)" in tables.segments_markdown(comparison)
