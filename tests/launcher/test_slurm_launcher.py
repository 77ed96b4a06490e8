"""Jobs of a cluster, on this machine: submitted together, each a result whatever became of it."""

import importlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from hydra_plugins.peftrec_launcher import slurm_launcher
from hydra_plugins.peftrec_launcher.slurm_launcher import SlurmLauncher, SlurmLauncherConf
from peftrec.errors import SettingsError
from peftrec.jobs.isolation import JobOutcome
from peftrec.jobs.sweep import Sweep, run_sweep
from peftrec.results.record import read_record
from peftrec.settings.composition import compose_settings
from peftrec.training.run.pipeline import train_run

pytestmark = pytest.mark.integration

SMALL = ["strategy=id", "data.num_users=64", "data.num_items=100", "trainer.max_epochs=2", "trainer.accelerator=cpu"]
SLURM = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu"]
LOCAL = [*SLURM, "hydra.launcher.cluster=local", "hydra.launcher.gpus_per_node=null", "hydra.launcher.timeout_min=5"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_jobs_run_as_they_were_checked_and_each_is_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second job ends with an error of its own; the first one is found by its record."""
    sweep = run_sweep([*SMALL, *LOCAL, "batch_size=16", "embedding_dim=8", "learning_rates.recommender=0.001,1e30"])
    assert [outcome.status for outcome in sweep.outcomes] == ["success", "failed"]
    assert "training diverged" in str(sweep.outcomes[1].error)
    assert sweep.outcomes[0].run_directory is not None
    record = read_record(Path(sweep.outcomes[0].run_directory))
    assert record.status == "success"
    assert record.process.process_id != os.getpid()
    jobs = json.loads((tmp_path / "runs/default/sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["success", "failed"]
    assert "submitted " in capsys.readouterr().out


@pytest.mark.slow
def test_a_job_that_dies_without_a_word_is_a_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A node that kills the job's process: the others' results are kept."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "original = os.fsync\n"
        "def die(handle):\n"
        "    original(handle)\n"
        "    if os.environ.get('SUBMITIT_EXECUTOR'):\n"
        "        os.kill(os.getpid(), 9)\n"
        "os.fsync = die\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    sweep = run_sweep([*SMALL, *LOCAL, "seed=1,2"])
    assert [outcome.status for outcome in sweep.outcomes] == ["failed", "failed"]
    assert all("see " in str(outcome.error) for outcome in sweep.outcomes)


class OneArray:
    """An executor whose jobs succeed at once; `numbers` are those that were submitted."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def map_array(self, _: Any, overrides: list[list[str]], __: Any, numbers: list[int], *___: Any) -> list[Any]:
        self.numbers += numbers
        return [self.task(own, number) for own, number in zip(overrides, numbers, strict=True)]

    def task(self, overrides: list[str], number: int) -> Any:
        outcome = JobOutcome(label="id", overrides=overrides, status="success", seconds=1.0)
        return SimpleNamespace(job_id=f"7_{number}", results=lambda: [SimpleNamespace(return_value=outcome)])


@pytest.mark.usefixtures("job_server")
def test_only_what_is_not_finished_is_submitted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = [*SMALL, "trainer.max_epochs=1"]
    train_run(compose_settings([*short, "seed=2"]))
    executor = OneArray()
    launcher = "hydra_plugins.peftrec_launcher.slurm_launcher.SlurmLauncher"  # Hydra has read that file once more
    monkeypatch.setattr(f"{launcher}._executor", lambda _: executor)
    monkeypatch.setattr(f"{launcher}._on_node", lambda _: None)
    capsys.readouterr()
    sweep = run_sweep([*short, *SLURM, "seed=1,2,3"])
    assert executor.numbers == [0, 2]
    assert [outcome.was_finished for outcome in sweep.outcomes] == [False, True, False]
    assert [outcome.overrides[-1].lstrip("+") for outcome in sweep.outcomes] == ["seed=1", "seed=2", "seed=3"]
    said = capsys.readouterr().out
    assert "[2/3 id seed=2] finished already: runs/default/id-" in said
    assert "not submitted, as finished already: 1 of 3 jobs\nsubmitted 7_0 id seed=1, 7_2 id seed=3\n" in said


def test_where_all_are_finished_no_cluster_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    finished = JobOutcome(label="id", overrides=["seed=1"], status="success", seconds=0.0, was_finished=True)
    monkeypatch.setattr(Sweep, "finished", lambda *_: {0: finished})
    monkeypatch.setenv("PATH", "")
    assert run_sweep([*SMALL, *SLURM, "seed=1"]).outcomes == [finished]


def test_a_mistake_stops_the_sweep_before_anything_is_submitted(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"job seed=b: seed: expected an integer"):
        run_sweep([*SMALL, *LOCAL, "seed=1,b"])
    assert not list(tmp_path.rglob("*.submitit"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra/launcher=slurm"], "hydra.launcher.partition is required: set hydra.launcher.partition="),
        ([*SLURM, "hydra.launcher.partitoin=gpu"], "partitoin"),
    ],
)
def test_mistakes_in_the_launcher(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        run_sweep([*SMALL, *overrides, "seed=1,2"])
    assert message in str(caught.value)


def test_no_slurm_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SettingsError, match=r"hydra/launcher=slurm: .*on a node that submits"):
        run_sweep([*SMALL, *SLURM, "seed=1,2"])


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_submitit(module: str) -> Any:
        if module.startswith("submitit"):
            raise ModuleNotFoundError("No module named 'submitit'", name="submitit")
        return importlib.import_module(module)

    monkeypatch.setattr(slurm_launcher, "import_module", without_submitit)
    with pytest.raises(SettingsError, match=r'submitit is not installed; pip install "peftrec\[slurm\]"'):
        run_sweep([*SMALL, *SLURM, "seed=1,2"])


def test_every_key_reaches_sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """submitit refuses names that it does not know, and writes the others into the batch script."""
    program = tmp_path / "srun"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    conf = OmegaConf.structured(
        SlurmLauncherConf(
            partition="gpu",
            account="lab",
            qos="high",
            constraint="h100",
            setup=["module load cuda"],
            additional_parameters={"requeue": True},
            folder=str(tmp_path / "jobs"),
        )
    )
    launcher = SlurmLauncher(**{name: value for name, value in conf.items() if name != "_target_"})
    executor = launcher._executor()._executor
    script = executor._make_submission_file_text("echo", "uid")
    for line in ("partition=gpu", "account=lab", "qos=high", "constraint=h100", "gpus-per-node=1", "cpus-per-task=8"):
        assert f"#SBATCH --{line}" in script
    assert "module load cuda" in script
    assert "#SBATCH --requeue" in script
    assert executor.max_num_timeout == 3
    assert sys.executable in executor._submitit_command_str
