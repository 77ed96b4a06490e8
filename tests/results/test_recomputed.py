"""What a table reports is what the ranks say, and nothing that could not have been measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from peftrec.errors import RecordError
from peftrec.results.ranks import read_ranks
from peftrec.results.recomputed import contradictions
from peftrec.results.record import Record, read_record
from peftrec.results.report.report import build_report, compare_folder
from peftrec.results.tpme_reference import CostChoices

NOT_SHOWN = "Not in this comparison: "


def changed(folder: Path, keys: str, value: Any) -> None:
    """Write a value into a record at `a.b.0.c`, as somebody with an editor would."""
    file = folder / "record.json"
    record = json.loads(file.read_bytes())
    *path, last = keys.split(".")
    node = record
    for key in path:
        node = node[int(key) if isinstance(node, list) else key]
    node[last] = value
    file.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("evaluation.test.hr@10", 0.9),
        ("evaluation.test.mrr@20", 0.123),
        ("evaluation.test_segments.cold.ndcg@5", 0.5),
        ("evaluation.test_segments.history_7_to_10.hr@5", 1.0),
        ("evaluation.test_segments.warm.num_users", 1.0),
    ],
)
def test_an_edited_figure_takes_its_run_and_no_other_out_of_the_table(key: str, value: float, few: Path) -> None:
    last = few / "lora-example1"  # the last strategy by name
    changed(last, key, value)
    comparison = compare_folder(few, CostChoices())
    (named,) = [note for note in comparison.notes if note.startswith(NOT_SHOWN)]
    assert str(last / "record.json") in named
    assert f"{key} is {value:g}, but " in named
    assert "ranks.parquet" in named
    shown = {run.name for run in comparison.runs}
    assert shown == {folder.parent.name for folder in few.rglob("record.json")} - {last.name}


def test_a_run_alone_is_checked_as_well(few: Path) -> None:
    changed(few / "id-example1", "evaluation.test.hr@10", 0.75)
    with pytest.raises(RecordError, match=r"id-example1.record\.json: evaluation\.test\.hr@10 is 0\.75, but 0\.\d+"):
        build_report(few / "id-example1")


IMPOSSIBLE = {
    "epochs.0.training_seconds": -1.0,
    "epochs.1.epoch": 99,
    "epochs.0.validation.hr@10": 1.5,
    "chosen_epoch": 99,
    "efficiency.seconds_per_epoch": -3.0,
    "efficiency.steps_per_second": 1e308,
    "efficiency.peak_memory_bytes": -1,
    "evaluation.test.hr@10": 1e308,
    "evaluation.validation.ndcg@10": -0.1,
    "evaluation.baselines.popularity.hr@10": 2.0,
    "evaluation.test_segments.cold.hr@10": 1.01,
    "parameters.trainable": -5,
    "data.num_candidates": -1,
    "checkpoint_bytes": -1,
}


@pytest.mark.parametrize("key", IMPOSSIBLE)
def test_what_cannot_have_been_measured_is_refused_with_its_key(key: str, few: Path) -> None:
    folder = few / "iisan-example2"
    changed(folder, key, IMPOSSIBLE[key])
    with pytest.raises(RecordError, match="is malformed") as caught:
        read_record(folder)
    told = str(caught.value)
    assert any(part in told for part in (key, key.split(".", maxsplit=1)[0], key.rpartition(".")[0]))
    assert folder.name not in {run.name for run in compare_folder(few, CostChoices()).runs}


def test_ranks_that_are_no_numbers_are_no_ranks(few: Path) -> None:
    file = few / "lora-example2" / "ranks.parquet"
    ranks = pd.read_parquet(file)
    ranks["rank"] = ranks["rank"].astype(float)
    ranks.loc[3, "rank"] = float("nan")
    ranks.to_parquet(file)
    with pytest.raises(RecordError, match="ranks are whole numbers"):
        read_ranks(file.parent)
    assert "lora-example2" in build_report(few).to_terminal()


def halves(record: Record, ranks: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the warm users as head and tail of equal figures."""
    assert record.evaluation is not None
    warm = record.evaluation.test_segments["warm"]
    head = {**warm, "num_users": float(int(warm["num_users"] // 3))}
    return {"head": head, "tail": {**warm, "num_users": warm["num_users"] - head["num_users"]}}


def test_head_and_tail_are_the_warm_targets(few: Path, change: Callable[..., None]) -> None:
    folder = few / "lora-example1"
    record, ranks = read_record(folder), read_ranks(folder)
    assert record.evaluation is not None
    split = halves(record, ranks)
    both = record.evaluation.model_copy(update={"test_segments": record.evaluation.test_segments | split})
    assert not list(contradictions(both, ranks))
    split["tail"]["hr@10"] = 1.0
    wrong = record.evaluation.model_copy(update={"test_segments": record.evaluation.test_segments | split})
    (found,) = contradictions(wrong, ranks)
    assert found.startswith("evaluation.test_segments: hr@10 of head and tail together is ")
