"""One operating-system process a job, on a device slot of its own, and how each ended."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from peftrec.code.user_code import UserCode
from peftrec.devices import are_threads_chosen, usable_processors
from peftrec.jobs.starting import Program
from peftrec.jobs.supervisor import StoppingError, Supervisor
from peftrec.jobs.temporary import temporary_folder
from peftrec.results.record import Status
from peftrec.training.run.trial_watch import TrialOrder


class Job(BaseModel):
    """What a process is started with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    """Short name for people: `lora seed=1`."""
    overrides: list[str]
    config: dict[str, Any]
    """The checked, plain config."""
    roles: dict[str, str] = Field(default_factory=dict)
    """Keys of `config` that do not decide the result."""
    code: UserCode = Field(default_factory=UserCode)
    """The user's code as it was when the sweep started."""
    code_hash: str | None = None
    """Of the code that the job runs, the package's too, when the sweep started."""
    trial: TrialOrder | None = None
    """What a trial of a tuning is told; null for a run."""


class JobFile(BaseModel):
    """What a job's process reads; see Job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: dict[str, Any]
    code: UserCode = Field(default_factory=UserCode)
    code_hash: str | None = None
    trial: TrialOrder | None = None


class JobOutcome(BaseModel):
    """How a job ended, as its own process said, or else as its exit status tells."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    overrides: list[str]
    status: Status
    run_directory: str | None = None
    error: str | None = None
    was_killed: bool = False
    was_finished: bool = False
    seconds: float


class JobReport(BaseModel):
    """What a job's process writes into its outcome file before it exits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status
    run_directory: str | None = None
    error: str | None = None
    was_killed: bool = False
    """Whether a signal ended the process, before it could say anything."""
    was_finished: bool = False
    """Whether the run was there already, and nothing was trained."""


class JobRunner:
    """Runs jobs on slots; `devices` are shared round robin and may be empty (no CUDA). One of them is what a job's
    CUDA_VISIBLE_DEVICES will be: a device, or several with commas between."""

    def __init__(self, *, slots: int, devices: Sequence[str], module: str) -> None:
        self.slots = slots
        self.module = module
        # Jobs side by side on the processors of one machine share them; on devices of their own each has all.
        shares = slots > 1 and not devices and not are_threads_chosen(os.environ)
        self.threads = max(1, usable_processors() // slots) if shares else None
        self._free_devices: SimpleQueue[str | None] = SimpleQueue()
        for slot in range(slots):
            self._free_devices.put(devices[slot % len(devices)] if devices else None)

    def run(self, jobs: Sequence[Job], on_outcome: Callable[[int, JobOutcome], None]) -> None:
        """Run all jobs; `on_outcome` gets each job's place and outcome as it ends.

        Ctrl-C lets the running jobs record their interruption, ends them, and is raised again.
        """
        with self.submitting() as submit:
            futures = {submit(f"{number + 1}/{len(jobs)}", job): number for number, job in enumerate(jobs)}
            for future in as_completed(futures):
                on_outcome(futures[future], future.result())

    @contextmanager
    def submitting(self) -> Iterator[Callable[[str, Job], "Future[JobOutcome]"]]:
        """Yield what takes a job, under a name that no other has, and runs it when a slot is free; what leaves the
        block early ends the jobs as Ctrl-C does."""
        with (
            temporary_folder() as folder,
            ThreadPoolExecutor(self.slots) as pool,
            Supervisor() as supervisor,
        ):
            supervisor.server.start(threads=self.threads)
            try:
                yield lambda name, job: pool.submit(self._run_one, supervisor, name, job, Path(folder))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _run_one(self, supervisor: Supervisor, place: str, job: Job, folder: Path) -> JobOutcome:
        device = self._free_devices.get()
        name = place.replace("/", "-")
        job_file, outcome_file = folder / f"job-{name}.json", folder / f"outcome-{name}.json"
        content = JobFile(config=job.config, code=job.code, code_hash=job.code_hash, trial=job.trial)
        job_file.write_text(content.model_dump_json(), encoding="utf-8")
        prefix = f"[{place} {job.label}]"
        program = Program(
            module=self.module,
            arguments=(str(job_file), str(outcome_file)),
            environment=job_environment(device),
            threads=self.threads,
        )
        began = time.monotonic()
        try:
            exit_status = supervisor.finish(supervisor.start(program, prefix=prefix))
        except StoppingError:
            exit_status = -signal.SIGINT
        finally:
            self._free_devices.put(device)
        report = read_report(outcome_file, exit_status)
        seconds = round(time.monotonic() - began, 3)
        print(f"{prefix} {report.status} after {seconds:.0f} s" + (f": {report.error}" if report.error else ""))
        return JobOutcome(label=job.label, overrides=job.overrides, seconds=seconds, **report.model_dump())


def read_report(outcome_file: Path, exit_status: int) -> JobReport:
    """Return what the job wrote, or what its exit status says where it wrote nothing."""
    if outcome_file.exists():
        return JobReport.model_validate_json(outcome_file.read_bytes())
    if exit_status == -signal.SIGINT:
        return JobReport(status="interrupted", error="interrupted")
    if exit_status < 0:
        name = signal.Signals(-exit_status).name
        hint = "; the system may have run out of memory" if exit_status == -signal.SIGKILL else ""
        return JobReport(status="failed", error=f"the process was killed by {name}{hint}", was_killed=True)
    return JobReport(status="failed", error=f"the process exited with status {exit_status} and said nothing")


def job_environment(device: str | None) -> dict[str, str]:
    """Return this process's environment, narrowed to its slot's CUDA devices where there are some."""
    environment = dict(os.environ)
    if device is not None:
        environment["CUDA_VISIBLE_DEVICES"] = device
    return environment
