"""The isolated launcher, with jobs that end well, badly, silently, violently, or not at all."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from peftrec.errors import SettingsError, UserError
from peftrec.jobs import isolation
from peftrec.jobs.isolation import JobRunner
from peftrec.jobs.starting import ForkServer
from peftrec.jobs.sweep import run_sweep

pytestmark = pytest.mark.integration

TESTS = Path(__file__).resolve().parents[1]
BASE = ["data=iisan", "data.root=somewhere", "strategy=id", "hydra.launcher.module=stub_job"]
SECONDS_TO_START = 120.0  # on a machine that does other work as well
SECONDS_TO_END = 30.0


@pytest.fixture(autouse=True)
def _stub_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_server: ForkServer) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def recorded(tmp_path: Path) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = json.loads((tmp_path / "runs/default/sweep.json").read_text())["jobs"]
    return jobs


def wait_until(condition: Any, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_job_runs_whatever_the_others_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = run_sweep([*BASE, "seed=2,3,4,5,1"])
    statuses = [outcome.status for outcome in sweep.outcomes]
    assert statuses == ["failed", "out_of_memory", "failed", "failed", "success"]
    errors = [outcome.error for outcome in sweep.outcomes]
    assert errors[0] == "the loss is not finite"
    assert "SIGKILL" in str(errors[2])
    assert "status 3" in str(errors[3])
    assert [job["status"] for job in recorded(tmp_path)] == statuses
    assert recorded(tmp_path)[4]["label"] == "id seed=1"
    shown = capsys.readouterr().out
    assert "[5/5 id seed=1] seed 1 on " in shown
    assert "[2/5 id seed=3] out_of_memory" in shown


def test_jobs_have_processes_of_their_own(tmp_path: Path) -> None:
    run_sweep([*BASE, "seed=1,2", "hydra.launcher.slots=2"])
    numbers = {int((tmp_path / f"runs/pid-{seed}").read_text()) for seed in (1, 2)}
    assert len(numbers | {os.getpid()}) == 3


def test_jobs_side_by_side_share_the_processors_unless_the_user_has_said_how_many_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "usable_processors", lambda: 8)
    settled = {"OMP_NUM_THREADS": "8", "PEFTREC_SETTLED_THREADS": "8"}
    for environment, slots, devices, expected in (
        (settled, 2, [], 4),
        (settled, 1, [], None),
        (settled, 2, ["0", "1"], None),
        ({"OMP_NUM_THREADS": "8"}, 2, [], None),
    ):
        monkeypatch.setattr(os, "environ", environment)
        assert JobRunner(slots=slots, devices=devices, module="stub_job").threads == expected


def test_each_device_is_a_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    run_sweep([*BASE, "seed=1,7,8,9"])
    shown = capsys.readouterr().out
    assert "on 4" in shown
    assert "on 7" in shown
    assert "on 4,7" not in shown


def test_a_mistake_in_the_last_job_stops_the_sweep_before_the_first(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"job strategy=id: unknown key strategy\.rank"):
        run_sweep([*BASE, "strategy=lora,id", "strategy.rank=4"])
    assert not list(tmp_path.rglob("pid-*"))


@pytest.mark.parametrize("user_encoder", ["sasrec", "gtn"])
def test_a_width_that_no_heads_divide_stops_the_sweep_before_the_first_job(user_encoder: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"job embedding_dim=63: user_encoder\.num_heads: 2 heads do not divide"):
        run_sweep([*BASE, f"user_encoder={user_encoder}", "embedding_dim=64,63"])
    assert not list(tmp_path.rglob("pid-*"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["strategy=id,lroa"], "strategy=lroa: no such option; did you mean lora?"),
        (["seed=1,b"], 'job seed=b: seed: expected an integer, got "b"'),
        (["sed=1,2"], "job sed=1: unknown key sed; did you mean seed?"),
        (["seed=interval(1,3)"], "does not support sweep type"),
        (["strategy=1,1e400"], "strategy=1,1e400: strategy is a choice among yaml files; leave it out, or name one"),
        (["towers@towers=range(3)"], "what is chosen of towers has one place in a run: write towers=range(3)"),
        (["strategy=id,null"], "strategy is a choice among yaml files"),
        (["hydra/launcher=basic", "~hydra.launcher.module"], "hydra.launcher.module"),
    ],
)
def test_mistakes_in_a_sweep_leave_nothing(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        run_sweep([*BASE, *overrides])
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_folder_can_have_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        run_sweep([*BASE, "seed=1,2", f"name={'a' * 300}"])
    assert not list(tmp_path.iterdir())


def test_a_refused_sweep_leaves_what_an_earlier_one_wrote(tmp_path: Path) -> None:
    of_before = tmp_path / "runs" / "default" / "multirun.yaml"
    of_before.parent.mkdir(parents=True)
    of_before.write_text("seed: 1\n")
    with pytest.raises(SettingsError):
        run_sweep([*BASE, "strategy=id,lroa"])
    assert of_before.read_text() == "seed: 1\n"
    assert list(of_before.parent.iterdir()) == [of_before]


def test_jobs_that_would_be_one_run_are_refused_before_the_first_starts() -> None:
    with pytest.raises(
        SettingsError, match=r"'id trainer\.compile=False' are one run: trainer\.compile=false is no part .*name=NAME"
    ):
        run_sweep(["strategy=id", "trainer.compile=true,false"], config_dir=None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=1,1"], "strategy=id seed=1: give each value of a sweep once"),
        (["data.root=A,B"], "'id data.root=A' and 'id data.root=B' differ in data.root, and no table can hold"),
        (["data.sequence_length=5,9"], "add name='default-${data.sequence_length}', which makes an experiment of each"),
        (["data.root=A/B,C"], "give one command for each, with a name=NAME of its own"),
    ],
)
def test_doubles_and_several_data_sets_stop_the_sweep_before_the_first_job(
    words: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        run_sweep([*BASE, *words])
    assert said in str(caught.value)
    assert not list(tmp_path.rglob("pid-*"))


SLURM = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "hydra.launcher.cluster=local"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra.launcher.slots=-1"], "hydra.launcher.slots=-1: expected a whole number from 1 on"),
        ([*SLURM, "hydra.launcher.timeout_min=0"], "hydra.launcher.timeout_min=0: expected a whole number from 1 on"),
        ([*SLURM, "hydra.launcher.nodes=-2"], "hydra.launcher.nodes=-2: expected a whole number from 1 on"),
        (
            [*SLURM, "hydra.launcher.cluster=slrm"],
            "hydra.launcher.cluster=slrm: expected slurm, local or debug; did you mean slurm?",
        ),
    ],
)
def test_odd_settings_of_a_launcher_are_refused_before_any_job(words: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        run_sweep([*BASE[:3], "seed=1,2", f"runs_dir={tmp_path / 'runs'}", *words])
    assert str(caught.value) == said
    assert not list(tmp_path.iterdir())


def test_hydras_own_launcher_is_refused() -> None:
    with pytest.raises(SettingsError, match="hydra/launcher=isolated"):
        run_sweep(["data=iisan", "data.root=somewhere", "hydra/launcher=basic", "seed=1,2"])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="set runs_dir=DIR"):
        run_sweep([*BASE, "seed=1,2", "runs_dir=file"])


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        (signal.SIGKILL, -signal.SIGKILL),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),  # as Ctrl-C does
    ],
)
def test_jobs_end_with_the_sweep(number: signal.Signals, status: int, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    command = [sys.executable, "-m", "peftrec", "train", "-m", *BASE, "seed=6"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as sweep:
        pid_file = tmp_path / "runs/pid-6"
        wait_until(lambda: pid_file.exists() and pid_file.read_text(), seconds=SECONDS_TO_START)
        job = int(pid_file.read_text())
        sweep.send_signal(number)
        assert sweep.wait(SECONDS_TO_END) == status
        wait_until(lambda: not is_running(job), seconds=SECONDS_TO_END)
        assert sweep.stderr is not None
        if number != signal.SIGKILL:
            assert "the same command" in sweep.stderr.read()


def is_running(process_id: int) -> bool:
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
