"""Two processes train what one does on the same batches, and end together however they end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch

from peftrec.jobs import launching
from peftrec.jobs.launching import ProcessesFailedError, launch
from peftrec.jobs.starting import SERVER, ForkServer
from peftrec.results.record import Record, read_record
from peftrec.settings.composition import compose_settings
from peftrec.training.checkpoint import LAST, checkpoint_path
from peftrec.training.run.pipeline import evaluate_run
from servers import start_command
from waits_in_training import sign_of

pytestmark = pytest.mark.integration

TESTS = Path(__file__).resolve().parents[1]
SMALL = (
    "data.num_users=64",
    "data.num_items=100",
    "batch_size=21",  # the last batch of an epoch has one user, so that the second process has none
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "user_encoder.dropout=0.0",
)
WITHOUT_GRADIENT = ("key.bias", "k_proj.bias")
"""A softmax does not change when all its inputs do, so this gradient is rounding alone, which Adam makes large."""
SECONDS_TO_END = 60.0


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, job_server: ForkServer) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def train(runs_dir: Path, *overrides: str) -> tuple[Path, Record]:
    outcome = launch(compose_settings([*SMALL, *overrides, f"runs_dir={runs_dir}"]))
    return outcome.run_directory, read_record(outcome.run_directory)


def assert_equal_runs(one: tuple[Path, Record], several: tuple[Path, Record]) -> None:
    (directory, record), (other_directory, other) = one, several
    assert other_directory.name == directory.name, "the number of devices does not decide the result"
    for first, second in zip(record.epochs, other.epochs, strict=True):
        assert second.training_loss == pytest.approx(first.training_loss, rel=1e-6)
    tensors, others = (
        torch.load(checkpoint_path(folder, LAST), weights_only=True)["state_dict"]
        for folder in (directory, other_directory)
    )
    assert others.keys() == tensors.keys()
    for name, tensor in tensors.items():
        if name.endswith(WITHOUT_GRADIENT):
            continue
        difference = (others[name] - tensor).abs()
        assert difference.mean() < 1e-7, name
        assert difference.max() < 1e-4, name  # Adam makes the rounding of gradients next to zero large
    ranks, other_ranks = (pd.read_parquet(folder / "ranks.parquet") for folder in (directory, other_directory))
    assert other_ranks["user"].tolist() == ranks["user"].tolist()
    assert other.negatives_per_positive == record.negatives_per_positive
    assert record.efficiency is not None
    assert other.efficiency is not None
    assert other.efficiency.step_operations == pytest.approx(record.efficiency.step_operations, rel=0.05)


def test_two_processes_train_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = train(tmp_path / "one", "strategy=iisan_cached")
    monkeypatch.setattr(launching, "JOB_MODULE", "joined_job")
    two = train(tmp_path / "two", "strategy=iisan_cached", "trainer=ddp", "trainer.devices=2", "trainer.num_workers=0")
    assert_equal_runs(one, two)
    assert two[1].latest.num_devices == 2
    assert two[1].latest.devices == f"2 x {one[1].latest.device}"
    # The same weights rank the same in one process, bit for bit.
    assert evaluate_run(two[0]) == two[1].evaluation


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["full", "lora", "id"])
@pytest.mark.parametrize("number", [2, 3])
def test_strategies_train_alike_on_several_processes(strategy: str, number: int, tmp_path: Path) -> None:
    changes = (f"strategy={strategy}",)
    one = train(tmp_path / "one", *changes)
    several = train(tmp_path / "several", *changes, f"trainer.devices={number}")
    assert_equal_runs(one, several)
    assert evaluate_run(several[0]) == several[1].evaluation


@pytest.mark.slow
def test_local_negatives_are_fewer_and_decide_the_result(tmp_path: Path) -> None:
    changes = ("strategy=id", "trainer.negatives=local")
    alone, record = train(tmp_path, "strategy=id")
    _, same = train(tmp_path, *changes)
    assert same.evaluation == record.evaluation, "one process has the whole batch"
    several, other = train(tmp_path, *changes, "trainer.devices=2")
    assert several != alone
    assert record.negatives_per_positive is not None
    assert other.negatives_per_positive is not None
    assert other.negatives_per_positive < 0.8 * record.negatives_per_positive
    assert evaluate_run(several) == other.evaluation


@pytest.mark.slow
def test_a_run_may_go_on_with_other_devices(tmp_path: Path) -> None:
    """A kill loses the epoch that it fell into, and two processes resume where one was."""
    whole = train(tmp_path / "whole", "strategy=id", "trainer.max_epochs=6")
    command = ["train", *SMALL, "strategy=id", "trainer.max_epochs=6", f"runs_dir={tmp_path / 'killed'}"]
    running = start_command(command, module="waits_in_training")
    wait_until(lambda: sign_of(tmp_path / "killed").exists() or running.process.poll() is not None)
    running.signal(signal.SIGKILL)
    assert running.process.wait() == -signal.SIGKILL
    running.close()
    (record,) = (read_record(file) for file in (tmp_path / "killed").rglob("record.json"))
    assert len(record.epochs) == 2
    resumed = train(tmp_path / "killed", "strategy=id", "trainer.max_epochs=6", "trainer.devices=2")
    assert_equal_runs(whole, resumed)


@pytest.mark.slow
def test_a_failure_of_any_process_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "JOB_MODULE", "failing_rank_job")
    with pytest.raises(ProcessesFailedError, match="MemoryError: of the second process") as caught:
        train(tmp_path, "strategy=id", "trainer.devices=2")
    assert caught.value.status == "out_of_memory"
    (file,) = tmp_path.rglob("record.json")
    record = read_record(file)
    assert (record.status, record.error) == ("out_of_memory", "MemoryError: of the second process")


@pytest.mark.slow
def test_a_step_of_slurm_is_joined(tmp_path: Path) -> None:
    """What srun does: the same command in every process, which finds its place in Slurm's variables."""
    command = [sys.executable, "-m", "peftrec", "train", *SMALL, "strategy=id", "trainer.devices=2"]
    step = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "localhost"}
    step |= {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1", "SLURM_NTASKS": "2"}
    tasks = [
        subprocess.Popen(
            [*command, f"runs_dir={tmp_path}"],
            env={**os.environ, **step, "SLURM_PROCID": rank, "SLURM_LOCALID": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in ("0", "1")
    ]
    said = [task.communicate(timeout=SECONDS_TO_END)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert "success: " in said[0]
    assert "success: " not in said[1]
    (file,) = tmp_path.rglob("record.json")
    assert read_record(file).latest.num_devices == 2


@pytest.mark.slow
def test_a_sweep_gives_a_job_its_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "peftrec", "train", "-m", *SMALL, "strategy=id,frozen", "trainer.devices=2"]
    done = subprocess.run([*command, f"runs_dir={tmp_path}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (sweep,) = tmp_path.rglob("sweep.json")
    assert [job["status"] for job in json.loads(sweep.read_text())["jobs"]] == ["success", "success"]
    records = [read_record(file) for file in tmp_path.rglob("record.json")]
    assert [record.latest.num_devices for record in records] == [2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_processes_end_with_the_one_that_started_them(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SERVER)  # so that they are its children
    command = [sys.executable, "-m", "peftrec", "train", *SMALL, "strategy=id", "trainer.devices=2"]
    process = subprocess.Popen(
        [*command, "trainer.max_epochs=1000", "evaluation.patience=1000", f"runs_dir={tmp_path}"],
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: any(read_record(file).epochs for file in tmp_path.rglob("record.json")))
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait(SECONDS_TO_END) == (130 if number == signal.SIGINT else -number)
    gone, alive = psutil.wait_procs(children, timeout=SECONDS_TO_END)
    assert len(gone) >= 2
    assert not alive
    (file,) = tmp_path.rglob("record.json")
    assert read_record(file).effective_status() == "interrupted"
    if number == signal.SIGINT:
        assert read_record(file).status == "interrupted"


def wait_until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + SECONDS_TO_END
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
