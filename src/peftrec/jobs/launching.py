"""One process a device of this machine: start them together, watch them, end them together.

Each process trains the same settings (`python -m peftrec.jobs.job`) and learns its place from torchrun's variables. On
several machines srun or torchrun does the same.
"""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from peftrec.code.user_code import hand_over
from peftrec.devices import are_threads_chosen, usable_processors, visible_devices
from peftrec.errors import SettingsError, UserError
from peftrec.jobs.isolation import JobFile, JobReport, job_environment, read_report
from peftrec.jobs.starting import Program
from peftrec.jobs.supervisor import Supervisor
from peftrec.jobs.temporary import temporary_folder
from peftrec.processes import ProcessRank, rank_of_environment, torchrun_environment
from peftrec.results.record import OVER, Status
from peftrec.settings.run import Settings, TrainerSettings, settings_to_config
from peftrec.training.run.trial_watch import TrialOrder

if TYPE_CHECKING:
    from peftrec.training.run.pipeline import RunOutcome

JOB_MODULE = "peftrec.jobs.job"
PROCESSES_ANYWHERE = 4
"""So many may share even one processor: to try several processes out, on a laptop or in a test."""
SECONDS_TO_FOLLOW = 15.0
"""How long the other processes have to notice that one is gone, before they are killed."""


class ProcessesFailedError(UserError):
    """One of the processes that trained together failed, and with it the run."""

    def __init__(self, report: JobReport) -> None:
        super().__init__(report.error or report.status)
        self.status: Status = report.status


def launch(settings: Settings, trial: TrialOrder | None = None) -> "RunOutcome":
    """Train in this process, or in one process for each of several devices and wait for them.

    Raises ProcessesFailedError where one of them fails; what a run in this process raises passes through.
    """
    number = processes_to_start(settings.trainer)
    from peftrec.training.run.pipeline import RunOutcome, train_run

    if number == 1:
        return train_run(settings, trial)
    report = run_processes(settings, number, trial)
    if report.status not in OVER or report.run_directory is None:
        raise ProcessesFailedError(report)
    return RunOutcome(Path(report.run_directory), report.status, was_finished=report.was_finished)


def processes_to_start(trainer: TrainerSettings) -> int:
    """Return how many processes this machine needs: one where only one device is asked for, or where this is already
    one of several. Raises SettingsError where the devices are not there."""
    if rank_of_environment() is not None:
        return 1
    if trainer.num_nodes > 1:
        raise SettingsError(
            f"trainer.num_nodes={trainer.num_nodes}: start the command on every node, by srun (see "
            "examples/slurm/train.sbatch) or torchrun"
        )
    return num_devices(trainer, visible_devices() if may_use_cuda(trainer) else [])


def num_devices(trainer: TrainerSettings, visible: list[str]) -> int:
    """Return how many devices of a machine are asked for. Raises SettingsError where fewer CUDA devices are visible,
    or where a CPU would have more processes than it can run side by side."""
    if trainer.devices == "auto":
        return max(1, len(visible))
    if trainer.devices > 1 and trainer.accelerator == "mps":
        raise SettingsError("trainer.devices: there is one MPS device; set trainer.devices=1")
    if trainer.devices > len(visible) and (visible or trainer.accelerator == "gpu"):
        raise SettingsError(
            f"trainer.devices={trainer.devices}: {len(visible)} CUDA devices are visible; set "
            + ("trainer.devices=auto" if visible else "trainer.accelerator=cpu, or let CUDA_VISIBLE_DEVICES name some")
        )
    if not visible and trainer.devices > (most := max(usable_processors(), PROCESSES_ANYWHERE)):
        raise SettingsError(
            f"trainer.devices={trainer.devices}: on a CPU these are processes, and the {usable_processors()} "
            f"processors here run at most {most} of them; set trainer.devices={most} or lower"
        )
    return trainer.devices


def may_use_cuda(trainer: TrainerSettings) -> bool:
    """Say whether a run takes CUDA devices where there are some."""
    return trainer.accelerator in ("auto", "gpu")


def run_processes(settings: Settings, number: int, trial: TrialOrder | None = None) -> JobReport:
    """Train in `number` processes, and return how it ended: as the first of them to fail said.

    What interrupts this process is passed on to them, so that the run records it.
    """
    with temporary_folder() as name, Supervisor() as supervisor:
        supervisor.server.start(threads=_threads(number))
        folder = Path(name)
        job_file = folder / "job.json"
        content = JobFile(config=settings_to_config(settings), code=hand_over(), trial=trial)
        job_file.write_text(content.model_dump_json(), encoding="utf-8")
        outcome_files = [folder / f"outcome-{rank}.json" for rank in range(number)]
        port = free_port()
        running = [
            supervisor.start(_program(job_file, file, ProcessRank(rank=rank, count=number, local_rank=rank), port))
            for rank, file in enumerate(outcome_files)
        ]
        killed = supervisor.wait_for_all(running, seconds_to_follow=SECONDS_TO_FOLLOW)
        statuses = {rank: supervisor.finish(each) for rank, each in enumerate(running)}
        return _first_to_fail({outcome_files[rank]: statuses[rank] for rank in statuses if rank not in killed})


def _program(job_file: Path, outcome_file: Path, rank: ProcessRank, port: int) -> Program:
    place = torchrun_environment(rank, address="127.0.0.1", port=port)
    return Program(
        module=JOB_MODULE,
        arguments=(str(job_file), str(outcome_file)),
        environment={**job_environment(None), **place},
        threads=_threads(rank.count),
    )


def _threads(number: int) -> int | None:
    """Return how many threads each of so many processes computes with; None where the user has said it."""
    return None if are_threads_chosen(os.environ) else max(1, usable_processors() // number)


def _first_to_fail(statuses: dict[Path, int]) -> JobReport:
    """Return the report of the process that failed first, of outcome files and exit statuses: one that died without a
    word, or else the oldest report. The others fail for want of it."""

    def moment(file: Path) -> int:
        return file.stat().st_mtime_ns if file.exists() else 0

    reports = [read_report(file, statuses[file]) for file in sorted(statuses, key=moment)]
    return next((report for report in reports if report.status not in OVER), reports[0])


def free_port() -> int:
    """Return a port that nothing listens to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
