"""kill -9 in the middle of an epoch and of a sweep: the same command loses nothing and ends the same, bit for bit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from peftrec.cli import main as cli
from peftrec.results.record import Record, read_record

SMALL = (
    "data.num_users=64",
    "data.num_items=100",
    "batch_size=4",
    "trainer.max_epochs=6",
    "trainer.accelerator=cpu",
    "evaluation.patience=6",
)
PATIENCE_SECONDS = 120


def command(runs_dir: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "peftrec", "train", *arguments, *SMALL, f"runs_dir={runs_dir}"]


def run_to_the_end(runs_dir: Path, *arguments: str) -> None:
    """Train, or sweep, from this process: another start of the program would show no more."""
    assert cli.main(["train", *arguments, *SMALL, f"runs_dir={runs_dir}"]) == 0


def go_on(runs_dir: Path, *arguments: str) -> None:
    """Type the same command again, into a process of its own."""
    done = subprocess.run(command(runs_dir, *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def kill_when(runs_dir: Path, is_time: Callable[[], bool], *arguments: str) -> None:
    """Start, wait, and kill the process without a chance to tidy up."""
    process = subprocess.Popen(
        command(runs_dir, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_time():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def records(runs_dir: Path) -> dict[str, tuple[Path, Record]]:
    found = {}
    for file in runs_dir.rglob("record.json"):
        record = read_record(file.parent)
        found[f"{record.strategy}-{record.seed}"] = (file.parent, record)
    return found


def assert_equal_quality(first: Path, second: Path) -> None:
    expected, found = records(first), records(second)
    assert set(found) == set(expected)
    for name, (folder, record) in expected.items():
        other_folder, other = found[name]
        assert other.status == record.status == "success"
        assert other.evaluation == record.evaluation
        assert other.efficiency is not None
        assert other.efficiency.is_isolated
        assert [epoch.validation for epoch in other.epochs] == [epoch.validation for epoch in record.epochs]
        pd.testing.assert_frame_equal(
            pd.read_parquet(folder / "ranks.parquet"), pd.read_parquet(other_folder / "ranks.parquet")
        )


@pytest.mark.parametrize("strategy", ["lora", "iisan_cached"])
def test_kill_in_an_epoch(strategy: str, tmp_path: Path) -> None:
    run_to_the_end(tmp_path / "whole", f"strategy={strategy}")

    def has_trained_two_epochs() -> bool:
        return any(len(record.epochs) >= 2 for _, record in records(tmp_path / "killed").values())

    kill_when(tmp_path / "killed", has_trained_two_epochs, f"strategy={strategy}")
    ((folder, record),) = records(tmp_path / "killed").values()
    assert record.status == "running"
    assert record.effective_status() == "interrupted"
    num_epochs = len(record.epochs)
    go_on(tmp_path / "killed", f"strategy={strategy}")
    assert num_epochs < 6, "it was killed too late to test anything"
    assert_equal_quality(tmp_path / "whole", tmp_path / "killed")
    assert not list(folder.rglob("*.partial"))


def test_kill_in_a_sweep(tmp_path: Path) -> None:
    arguments = ("-m", "strategy=id,frozen")
    for strategy in ("id", "frozen"):
        run_to_the_end(tmp_path / "whole", f"strategy={strategy}")

    def is_in_the_second_job() -> bool:
        found = [record for _, record in records(tmp_path / "killed").values()]
        return any(record.status == "success" for record in found) and any(
            record.status == "running" and record.epochs for record in found
        )

    kill_when(tmp_path / "killed", is_in_the_second_job, *arguments)
    finished = {
        folder: (folder / "record.json").stat().st_mtime_ns
        for folder, record in records(tmp_path / "killed").values()
        if record.status == "success"
    }
    assert len(finished) == 1
    run_to_the_end(tmp_path / "killed", *arguments)
    assert_equal_quality(tmp_path / "whole", tmp_path / "killed")
    for folder, written in finished.items():
        assert (folder / "record.json").stat().st_mtime_ns == written, "a finished run was run again"
