"""The page of a report's columns explains each column that there is, and no other."""

import re

import numpy as np
import pytest
from markdown_pages import REPOSITORY

from peftrec.evaluation.metrics import ranking_metrics
from peftrec.evaluation.segments import segment_masks
from peftrec.results.comparison import compare, table
from peftrec.results.costs import Epoch, MachineUse
from peftrec.results.ranks import RANK_COLUMNS
from peftrec.results.runs import Run
from peftrec.results.significance import COLUMNS, MEAN_COLUMNS
from peftrec.tuning.learnt import curves_table
from peftrec.tuning.tables import COLUMNS as TRIAL_COLUMNS

PAGE = REPOSITORY / "docs" / "report_columns.md"


def explained(start: str) -> list[str]:
    """Return the names of columns that the first table at or below the line that starts so explains."""
    text = PAGE.read_text(encoding="utf-8")
    rows = re.compile(r"(?:^\|.*\n)+", re.MULTILINE).search(text, text.index(f"\n{start}") + 1)
    assert rows is not None
    return [name for row in rows[0].splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_column_of_the_table_is_explained_once(runs: list[Run]) -> None:
    names = explained("## `table.csv`")
    assert len(names) == len(set(names))
    assert set(names) == set(table(compare(runs)).columns)


@pytest.mark.parametrize(
    ("start", "columns"),
    [
        ("## `intervals.csv`", MEAN_COLUMNS),
        ("## `significance.csv`", COLUMNS),
        ("`ranks.parquet`", RANK_COLUMNS),
        ("`trials.csv`", (*TRIAL_COLUMNS, "user_encoder", "objective", "run", "error")),
        ("`budget.csv`", curves_table([]).columns),
        ("`epochs.csv`", {*Epoch.model_fields, *MachineUse.model_fields, "val/hr@10"} - {"validation", "machine"}),
    ],
)
def test_every_column_beside_it_is_explained_once(start: str, columns: tuple[str, ...]) -> None:
    names = explained(start)
    assert len(names) == len(set(names))
    assert set(names) == set(columns)


def test_every_column_of_segments_is_explained() -> None:
    metrics = ranking_metrics(np.array([1]), np.array([False]))
    assert set(explained("## `segments.csv`")) == {"strategy", "segment", "num_users", *metrics, "hr@10_std"}


def test_every_segment_is_explained() -> None:
    masks = segment_masks(np.array([3, 1, 0]), np.array([0, 1, 2]), np.array([5, 5, 5]))
    assert set(explained("| segment |")) == {name for name in masks if "history" not in name} | {"history_5_to_9"}
