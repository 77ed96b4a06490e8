"""kill -9 in the middle of an epoch and of a sweep: the same command loses nothing and ends the same, bit for bit.

SIGTERM, by which clusters and systems end programs, is recorded and said besides."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from peftrec.cli import main as cli
from peftrec.jobs.starting import ForkServer
from peftrec.processes import TERMINATED
from peftrec.results.record import Record, read_record
from servers import run_command, start_command
from waits_in_training import sign_of

pytestmark = pytest.mark.integration

SMALL = ("data.num_users=64", "data.num_items=100", "batch_size=16", "trainer.max_epochs=4", "trainer.accelerator=cpu")
PATIENCE_SECONDS = 120


def words(runs_dir: Path, *arguments: str) -> list[str]:
    return ["train", *arguments, *SMALL, f"runs_dir={runs_dir}"]


def run_to_the_end(runs_dir: Path, *arguments: str) -> None:
    """Train, or sweep, from this process: another start of the program would show no more."""
    assert cli.main(words(runs_dir, *arguments)) == 0


def go_on(runs_dir: Path, *arguments: str) -> None:
    """Type the same command again, into a process of its own."""
    status, said = run_command(words(runs_dir, *arguments))
    assert status == 0, said


def kill_in_an_epoch(runs_dir: Path, *arguments: str) -> None:
    """Start, wait, and kill the process without a chance to tidy up."""
    running = start_command(words(runs_dir, *arguments), module="waits_in_training")
    assert running.output is not None
    wait_until(lambda: sign_of(runs_dir).exists() or running.process.poll() is not None)
    running.signal(signal.SIGKILL)
    said = running.output.read()
    assert running.process.wait() == -signal.SIGKILL, said
    running.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def records(runs_dir: Path) -> dict[int, tuple[Path, Record]]:
    """Return the runs by their seeds."""
    found = {}
    for file in runs_dir.rglob("record.json"):
        record = read_record(file.parent)
        found[record.seed] = (file.parent, record)
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


@pytest.mark.parametrize("strategy", ["iisan_cached", pytest.param("lora", marks=pytest.mark.slow)])
def test_kill_in_an_epoch(strategy: str, tmp_path: Path) -> None:
    run_to_the_end(tmp_path / "whole", f"strategy={strategy}")
    kill_in_an_epoch(tmp_path / "killed", f"strategy={strategy}")
    ((folder, record),) = records(tmp_path / "killed").values()
    assert record.status == "running"
    assert record.effective_status() == "interrupted"
    assert len(record.epochs) == 2, "the epoch that it fell into is lost"
    go_on(tmp_path / "killed", f"strategy={strategy}")
    assert_equal_quality(tmp_path / "whole", tmp_path / "killed")
    assert not list(folder.rglob("*.partial"))


def test_kill_in_a_sweep(tmp_path: Path, job_server: ForkServer) -> None:
    arguments = ("-m", "strategy=id", "seed=1,2")
    for seed in (1, 2):
        run_to_the_end(tmp_path / "whole", "strategy=id", f"seed={seed}")
    kill_in_an_epoch(tmp_path / "killed", *arguments, "hydra.launcher.module=waits_in_training")
    (finished, first), (_, second) = (records(tmp_path / "killed")[seed] for seed in (1, 2))
    assert (first.status, second.status, len(second.epochs)) == ("success", "running", 2)
    written = (finished / "record.json").stat().st_mtime_ns
    wait_until(lambda: records(tmp_path / "killed")[2][1].effective_status() == "interrupted")
    run_to_the_end(tmp_path / "killed", *arguments)
    assert_equal_quality(tmp_path / "whole", tmp_path / "killed")
    assert (finished / "record.json").stat().st_mtime_ns == written, "a finished run was run again"


@pytest.mark.parametrize(
    "arguments", [("strategy=id",), ("-m", "strategy=id", "seed=2", "hydra.launcher.module=waits_in_training")]
)
def test_sigterm_in_an_epoch(arguments: tuple[str, ...], tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    running = start_command(words(runs_dir, *arguments), module="waits_in_training")
    assert running.output is not None
    wait_until(lambda: sign_of(runs_dir).exists() or running.process.poll() is not None)
    os.kill(running.process.pid, signal.SIGTERM)
    said = running.output.read()
    assert running.process.wait() == TERMINATED == 143, said
    running.close()
    assert "ended by SIGTERM; the same command goes on from what is done" in said
    assert "Traceback" not in said
    ((_, record),) = records(runs_dir).values()
    assert (record.status, len(record.epochs)) == ("interrupted", 2)
    go_on(runs_dir, *(word for word in arguments if not word.startswith("hydra.")))
    ((_, record),) = records(runs_dir).values()
    assert record.status == "success"
