"""W&B: one run a job, grouped by experiment, finished, and never needed for the tables."""

import time
from pathlib import Path

import pytest

from peftrec.results.record import read_record
from peftrec.training.module import RecommenderModule
from peftrec.training.run.pipeline import train_run
from peftrec.training.run.trackers import summary
from small_runs import small_settings

wandb = pytest.importorskip("wandb")
PATIENCE_SECONDS = 60


def offline_runs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("run-*.wandb"))


def missing_when_written(file: Path, expected: tuple[bytes, ...]) -> list[bytes]:
    """Return what is not in the file; W&B's own process may still be writing it when `finish` returns."""
    end = time.monotonic() + PATIENCE_SECONDS
    while missing := [part for part in expected if part not in file.read_bytes()]:
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return missing


def test_each_job_is_one_finished_offline_run(tmp_path: Path) -> None:
    for seed in (1, 2):
        settings = small_settings(tmp_path, "id", seed=seed, logger={"wandb": "offline"}, trainer={"max_epochs": 1})
        run_directory = train_run(settings).run_directory
        assert wandb.run is None  # finished: the next job starts its own
        (run,) = offline_runs(run_directory)
        record = read_record(run_directory)
        assert run.name == f"run-{record.run_id}.wandb"
        expected = (b"small", b"id seed=%d" % seed, b"test/hr@10", b"val/ndcg@10")
        assert missing_when_written(run, expected) == []
    assert len(offline_runs(tmp_path)) == 2


def test_a_failed_job_finishes_its_run_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: RecommenderModule, batch: object, batch_idx: int) -> None:
        raise ArithmeticError("for the test")

    monkeypatch.setattr(RecommenderModule, "training_step", fail)
    with pytest.raises(ArithmeticError):
        train_run(small_settings(tmp_path, "id", logger={"wandb": "offline"}))
    assert wandb.run is None
    assert len(offline_runs(tmp_path)) == 1


def test_the_summary_holds_the_records_figures(tmp_path: Path) -> None:
    record = read_record(train_run(small_settings(tmp_path, "id", trainer={"max_epochs": 2})).run_directory)
    figures = summary(record)
    assert record.evaluation is not None
    assert figures["test/hr@10"] == record.evaluation.test["hr@10"]
    assert record.parameters is not None
    assert figures["efficiency/trainable_parameters"] == record.parameters.trainable
    assert "efficiency/seconds_per_epoch" in figures
