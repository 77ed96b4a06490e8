"""How many processes a run needs, and that they end together, with the cause of the first that failed."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from peftrec.errors import SettingsError
from peftrec.jobs import launching
from peftrec.jobs.isolation import Job
from peftrec.jobs.launching import num_devices, processes_to_start, run_processes
from peftrec.jobs.starting import ForkServer
from peftrec.jobs.supervisor import Supervisor
from peftrec.jobs.sweep import device_groups
from peftrec.settings.run import TrainerSettings
from small_runs import small_config, small_settings

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _stub(monkeypatch: pytest.MonkeyPatch, job_server: ForkServer) -> None:
    monkeypatch.setattr(launching, "JOB_MODULE", "stub_rank_job")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("OMP_NUM_THREADS", "PEFTREC_SETTLED_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(launching, "usable_processors", lambda: 8)


@pytest.mark.parametrize(
    ("devices", "visible", "expected"),
    [(1, [], 1), (2, [], 2), ("auto", [], 1), ("auto", ["0", "1", "5"], 3), (2, ["0", "1", "5"], 2)],
)
def test_devices_are_counted(devices: Any, visible: list[str], expected: int) -> None:
    assert num_devices(TrainerSettings(devices=devices), visible) == expected


@pytest.mark.parametrize(
    ("settings", "visible", "message"),
    [
        ({"devices": 4}, ["0", "1"], "2 CUDA devices are visible; set trainer.devices=auto"),
        ({"devices": 2, "accelerator": "gpu"}, [], "0 CUDA devices"),
        ({"devices": 2, "accelerator": "mps"}, [], "one MPS device"),
        ({"devices": 9}, [], "8 processors here run at most 8 .* set trainer.devices=8"),
        ({"devices": 100, "accelerator": "cpu"}, [], "trainer.devices=100: on a CPU these are processes"),
    ],
)
def test_devices_that_are_not_there(settings: dict[str, Any], visible: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        num_devices(TrainerSettings(**settings), visible)


def test_a_few_processes_may_share_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "usable_processors", lambda: 1)
    assert num_devices(TrainerSettings(devices=4, accelerator="cpu"), []) == 4
    with pytest.raises(SettingsError, match=r"set trainer\.devices=4"):
        num_devices(TrainerSettings(devices=5, accelerator="cpu"), [])


def test_who_was_started_with_others_starts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes_to_start(TrainerSettings(devices=2)) == 2
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert processes_to_start(TrainerSettings(devices=2)) == 1


def test_several_nodes_need_a_launcher() -> None:
    with pytest.raises(SettingsError, match=r"trainer\.num_nodes=2: start the command on every node, by srun"):
        processes_to_start(TrainerSettings(num_nodes=2))


def job(tmp_path: Path, **trainer: Any) -> Job:
    return Job(label="job", overrides=[], config=small_config(tmp_path, trainer=trainer))


@pytest.mark.parametrize(
    ("devices", "groups"),
    [((1, 1), ["0", "1", "2", "3", "4"]), ((2, 1), ["0,1", "2,3"]), ((5,), ["0,1,2,3,4"]), (("auto",), ["0,1,2,3,4"])],
)
def test_each_job_of_a_sweep_gets_its_devices(
    devices: tuple[Any, ...], groups: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    jobs = [job(tmp_path, accelerator="auto", devices=number) for number in devices]
    assert device_groups(jobs) == groups
    assert device_groups([job(tmp_path, accelerator="cpu", devices=8)]) == []
    with pytest.raises(SettingsError, match="5 CUDA devices are visible"):
        device_groups([*jobs, job(tmp_path, accelerator="auto", devices=6)])
    with pytest.raises(SettingsError, match="hydra/launcher=slurm"):
        device_groups([job(tmp_path, accelerator="auto", num_nodes=2)])


@pytest.mark.parametrize(
    ("environment", "threads"),
    [({}, 4), ({"OMP_NUM_THREADS": "8", "PEFTREC_SETTLED_THREADS": "8"}, 4), ({"OMP_NUM_THREADS": "3"}, 3)],
    ids=["nobody chose", "as the command line settles them", "the user chose"],
)
def test_processes_know_their_places(
    environment: dict[str, str], threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    report = run_processes(small_settings(tmp_path, name="well"), 2)
    assert (report.status, report.run_directory) in (("success", "of 0"), ("success", "of 1"))
    places = [json.loads((tmp_path / f"rank-{rank}").read_text()) for rank in range(2)]
    assert [(each["RANK"], each["LOCAL_RANK"], each["WORLD_SIZE"]) for each in places] == [
        ("0", "0", "2"),
        ("1", "1", "2"),
    ]
    assert places[0]["MASTER_PORT"] == places[1]["MASTER_PORT"]
    assert {int(each["threads"]) for each in places} == {threads}


def test_the_first_to_fail_knows_why(tmp_path: Path) -> None:
    report = run_processes(small_settings(tmp_path, name="fails"), 2)
    assert (report.status, report.error) == ("failed", "the cause")


def test_who_waits_for_a_dead_process_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "SECONDS_TO_FOLLOW", 0.2)
    report = run_processes(small_settings(tmp_path, name="killed"), 2)
    assert report.status == "failed"
    assert "SIGKILL" in str(report.error)


def test_an_interruption_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends processes that do nothing about it, however short they have run."""
    started: list[Any] = []

    def interrupt(self: Supervisor, running: Any, **_: Any) -> None:
        while not all((tmp_path / f"rank-{rank}").exists() for rank in range(2)):
            assert all(each.process.poll() is None for each in running)
        started.extend(running)
        raise KeyboardInterrupt

    monkeypatch.setattr(Supervisor, "wait_for_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_processes(small_settings(tmp_path, name="waits"), 2)
    assert [each.process.wait() for each in started] == [-signal.SIGINT] * 2
