"""Finished jobs of a sweep take one process together; the others take one each."""

from pathlib import Path
from typing import Any

import pytest

from peftrec.jobs import isolation, supervisor
from peftrec.jobs.finished import on_node
from peftrec.jobs.isolation import ClusterNode, Job, JobOutcome, JobRunner
from peftrec.jobs.launching import JOB_MODULE
from peftrec.jobs.starting import Program
from peftrec.jobs.sweep import job_of
from peftrec.settings.run import TrainerSettings
from peftrec.training.run.pipeline import train_run
from small_runs import small_settings

pytestmark = pytest.mark.integration

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules of the processes that were started."""
    original, modules = supervisor.start, list[str]()

    def counted(program: Program, *arguments: Any, **keywords: Any) -> Any:
        modules.append(program.module)
        return original(program, *arguments, **keywords)

    monkeypatch.setattr(supervisor, "start", counted)
    return modules


def job(runs_dir: Path, seed: int) -> Job:
    settings = small_settings(runs_dir, "id", seed=seed, trainer={"max_epochs": 1})
    return job_of(settings, [f"seed={seed}"], [f"seed={seed}"])


def run(jobs: list[Job], module: str = JOB_MODULE) -> dict[int, JobOutcome]:
    outcomes: dict[int, JobOutcome] = {}
    JobRunner(slots=1, devices=[], module=module).run(jobs, outcomes.__setitem__)
    return outcomes


@pytest.mark.usefixtures("job_server")
def test_only_what_is_not_finished_gets_a_process(
    tmp_path: Path, started: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [job(tmp_path, seed) for seed in (1, 2, 3, 4)]
    folders = [
        train_run(small_settings(tmp_path, "id", seed=seed, trainer={"max_epochs": 1})).run_directory
        for seed in (1, 2, 4)
    ]
    capsys.readouterr()
    outcomes = run(jobs)
    assert started == [isolation.FINISHED_MODULE, JOB_MODULE]
    assert [outcomes[number].status for number in range(4)] == ["success"] * 4
    assert [outcomes[number].was_finished for number in range(4)] == [True, True, False, True]
    assert [outcomes[number].run_directory for number in (0, 1, 3)] == [str(folder) for folder in folders]
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "finished already" in line] == [
        f"[{number}/4 id seed={number}] finished already: {folder}"
        for number, folder in zip((1, 2, 4), folders, strict=True)
    ]
    started.clear()
    again = run(jobs)
    assert started == [isolation.FINISHED_MODULE]
    assert [again[number].run_directory for number in range(4)] == [outcomes[n].run_directory for n in range(4)]
    assert all(outcome.was_finished for outcome in again.values())


@pytest.mark.usefixtures("job_server")
def test_nobody_is_asked_where_no_run_could_be_found(
    tmp_path: Path, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TESTS))
    (tmp_path / "small" / "idle-0123").mkdir(parents=True)
    (tmp_path / "small" / "idle-0123" / "record.json").touch()
    assert run([job(tmp_path, 1)], module="stub_job")[0].status == "success"
    assert started == ["stub_job"]


@pytest.mark.usefixtures("job_server")
def test_where_the_answer_fails_each_job_sees_for_itself(
    tmp_path: Path, started: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(TESTS))
    monkeypatch.setattr(isolation, "FINISHED_MODULE", "no_such_module")
    (tmp_path / "small" / "id-0123").mkdir(parents=True)
    (tmp_path / "small" / "id-0123" / "record.json").touch()
    assert run([job(tmp_path, 1)], module="stub_job")[0].status == "success"
    assert started == ["no_such_module", "stub_job"]
    assert (
        "warning: which jobs are finished was not told (the process exited with status 1 and said nothing); each will "
        "see for itself\n"
    ) in capsys.readouterr().err


@pytest.mark.usefixtures("job_server")
def test_a_job_of_changed_code_or_faulty_data_gets_a_process_that_says_so(tmp_path: Path, started: list[str]) -> None:
    train_run(small_settings(tmp_path, "id", seed=1, trainer={"max_epochs": 1}))
    changed = job(tmp_path, 1).model_copy(update={"code_hash": "of other code"})
    nowhere = {"_target_": "peftrec.data.readers.table.TableFiles", "root": str(tmp_path / "nowhere")}
    faulty = job(tmp_path, 1).model_copy(update={"config": {**changed.config, "data": nowhere}, "code_hash": None})
    outcomes = run([changed, faulty])
    assert started == [isolation.FINISHED_MODULE, JOB_MODULE, JOB_MODULE]
    assert "the code is not what the sweep started with any more" in str(outcomes[0].error)
    assert "nowhere" in str(outcomes[1].error)


@pytest.mark.parametrize(
    ("asked", "gpus", "expected"),
    [
        ({"accelerator": "gpu"}, 1, ("bf16-mixed", "cuda", 1)),
        ({"accelerator": "gpu", "devices": "auto", "num_nodes": 2}, 4, ("bf16-mixed", "cuda", 8)),
        ({"accelerator": "gpu", "precision": "32-true", "devices": 2}, None, ("32-true", "cuda", 2)),
        ({"accelerator": "auto", "devices": "auto"}, 0, ("auto", "cpu", 1)),
        ({"accelerator": "cpu", "devices": "auto"}, 4, ("auto", "cpu", 1)),
    ],
)
def test_what_a_node_trains_with_is_known_where_there_is_no_such_device(
    asked: dict[str, Any], gpus: int | None, expected: tuple[str, str, int]
) -> None:
    found = on_node(TrainerSettings(**asked), ClusterNode(gpus=gpus))
    assert found is not None
    trainer, device, num_processes = found
    assert (trainer.precision, device.type, num_processes) == expected


@pytest.mark.parametrize("asked", [{"accelerator": "auto"}, {"accelerator": "gpu", "devices": "auto"}])
def test_what_the_cluster_decides_is_not_guessed(asked: dict[str, Any]) -> None:
    assert on_node(TrainerSettings(**asked), ClusterNode(gpus=None)) is None
