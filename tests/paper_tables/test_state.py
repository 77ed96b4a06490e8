"""What of a table is done and how long it took, from what lies in its folders."""

import os
import shutil
from pathlib import Path

import pytest

from made_up_records import write_example_records
from peftrec.errors import RecordError
from peftrec.paper_tables.declared import Table, find_table
from peftrec.paper_tables.runs import run_folder
from peftrec.paper_tables.state import Took, num_jobs, read_took, results_below, state_of, took_file, write_took
from peftrec.results.runs import find_runs

TOOK = Took(finished_at="2026-01-02T03:04:05+00:00", seconds=83.4, status=0, steps=[["train"]])


@pytest.fixture
def table() -> Table:
    return find_table("main", "tiny")


@pytest.fixture
def runs_dir(tmp_path: Path, table: Table) -> Path:
    """A folder in which 14 runs of the table's name have ended well."""
    example = write_example_records(tmp_path / "made", seeds=2, num_users=20)
    shutil.copytree(example, tmp_path / "runs" / table.runs_name)
    return tmp_path / "runs"


def test_nothing_is_done_before(table: Table, tmp_path: Path) -> None:
    assert state_of(table, tmp_path).to_text() == "0 of 16 runs done; not built yet"


def test_finished_runs_are_counted_and_the_time_is_said(table: Table, runs_dir: Path) -> None:
    write_took(TOOK, table, runs_dir)
    assert state_of(table, runs_dir).to_text() == "14 of 16 runs done; took 1 min 23 s on 2026-01-02"
    record = next((runs_dir / table.runs_name).glob("lora-*/record.json"))
    record.write_text(record.read_text().replace('"status": "success"', '"status": "failed"'))
    write_took(TOOK.model_copy(update={"status": 1}), table, runs_dir)
    assert state_of(table, runs_dir).to_text() == "13 of 16 runs done; took 1 min 23 s on 2026-01-02, with failures"


def test_a_damaged_file_is_named(table: Table, tmp_path: Path) -> None:
    write_took(TOOK, table, tmp_path)
    took_file(table, tmp_path).write_text("{")
    with pytest.raises(RecordError, match=r"tables/main_tiny\.json: .*delete the file"):
        read_took(table, tmp_path)


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (["-m", "strategy=full,lora", "seed=1,2,3", "trainer.max_epochs=2"], 6),
        (["-m", "strategy=full"], 1),
        (["strategy=full,lora,id", "final_seeds=1,2,3,4", "budget.trials=8"], 12),
        (["-m", "strategy.layers=every_second,[0,2]", "~data.rendered_images"], 2),
    ],
)
def test_jobs_are_counted_as_the_sweep_counts_them(words: list[str], number: int) -> None:
    assert num_jobs(words) == number


def test_results_are_told_from_what_a_sweep_always_writes(table: Table, runs_dir: Path) -> None:
    folder = runs_dir / table.runs_name
    (folder / "sweep.json").write_text("{}")
    records = list(folder.glob("*/record.json"))
    before = results_below([folder, runs_dir / "not there"])
    assert set(before) == set(records)
    (folder / "sweep.json").write_text("{ }")
    assert results_below([folder]) == before
    os.utime(records[0], (200, 200))
    assert results_below([folder]) != before


def test_a_step_reads_the_finished_run_of_a_strategy(table: Table, runs_dir: Path) -> None:
    folder = runs_dir / table.runs_name
    read = run_folder("run={run:lora}", folder).partition("=")[2]
    assert find_runs(Path(read))[0].record.strategy == "lora"
    assert run_folder("budget=50", folder) == "budget=50"
    with pytest.raises(RecordError, match="no finished run of lst, which the next step reads"):
        run_folder("run={run:lst}", folder)
