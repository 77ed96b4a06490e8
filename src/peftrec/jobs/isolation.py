"""One operating-system process a job, on a device slot of its own, and how each ended."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from peftrec.code.user_code import UserCode
from peftrec.devices import are_threads_chosen, usable_processors
from peftrec.jobs.starting import Program
from peftrec.jobs.supervisor import StoppingError, Supervisor
from peftrec.jobs.temporary import temporary_folder
from peftrec.results.record import RECORD_FILE, Status
from peftrec.training.run.trial_watch import TrialOrder

FINISHED_MODULE = "peftrec.jobs.finished"


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


class ClusterNode(BaseModel):
    """The machine that jobs will run on, where it is not the one that looks for their runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpus: int | None
    """CUDA devices that a job gets there; None where the cluster decides that."""


class AskedJobs(BaseModel):
    """What the process reads that looks for finished jobs: some of a sweep's, by their places."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: UserCode
    jobs: dict[int, JobFile]
    node: ClusterNode | None = None


class FinishedJob(BaseModel):
    """A job that needs no process, because its run is there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_directory: str
    status: Status
    said: str
    """For whoever gave the command."""

    def outcome(self, job: Job) -> JobOutcome:
        """Return how the job ended: before it began."""
        return JobOutcome(
            label=job.label,
            overrides=job.overrides,
            status=self.status,
            run_directory=self.run_directory,
            was_finished=True,
            seconds=0.0,
        )


class FinishedJobs(BaseModel):
    """What that process writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: dict[int, FinishedJob]


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
        """Answer for the jobs that are finished already, and run the others; `on_outcome` gets each job's place and
        outcome as it ends.

        Ctrl-C lets the running jobs record their interruption, ends them, and is raised again.
        """
        names = [f"{number + 1}/{len(jobs)}" for number in range(len(jobs))]
        with self._supervised() as (supervisor, pool, folder):
            finished = self._finished(supervisor, jobs, folder)
            if len(finished) < len(jobs):
                supervisor.server.start(threads=self.threads)
            for number, run in finished.items():
                print(f"[{names[number]} {jobs[number].label}] {run.said}")
                on_outcome(number, run.outcome(jobs[number]))
            futures = {
                pool.submit(self._run_one, supervisor, names[number], job, folder): number
                for number, job in enumerate(jobs)
                if number not in finished
            }
            for future in as_completed(futures):
                on_outcome(futures[future], future.result())

    def finished(self, jobs: Sequence[Job], node: ClusterNode | None) -> dict[int, FinishedJob]:
        """Return the jobs that are finished already, by their places, where others run those that are not."""
        with self._supervised() as (supervisor, _, folder):
            return self._finished(supervisor, jobs, folder, node)

    @contextmanager
    def submitting(self) -> Iterator[Callable[[str, Job], "Future[JobOutcome]"]]:
        """Yield what takes a job, under a name that no other has, and runs it when a slot is free; what leaves the
        block early ends the jobs as Ctrl-C does."""
        with self._supervised() as (supervisor, pool, folder):
            supervisor.server.start(threads=self.threads)
            yield lambda name, job: pool.submit(self._run_one, supervisor, name, job, folder)

    @contextmanager
    def _supervised(self) -> Iterator[tuple[Supervisor, ThreadPoolExecutor, Path]]:
        with (
            temporary_folder() as folder,
            ThreadPoolExecutor(self.slots) as pool,
            Supervisor() as supervisor,
        ):
            try:
                yield supervisor, pool, Path(folder)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _finished(
        self, supervisor: Supervisor, jobs: Sequence[Job], folder: Path, node: ClusterNode | None = None
    ) -> dict[int, FinishedJob]:
        """Ask one process, in the place of a job, which jobs are finished; none where no run could be one of theirs.

        It needs little of what jobs import, so no server is started for it.
        """
        asked = {number: job for number, job in enumerate(jobs) if _has_runs(job)}
        if not asked:
            return {}
        asked_file, answers_file = folder / "asked.json", folder / "finished.json"
        content = AskedJobs(
            code=jobs[0].code,
            jobs={n: JobFile(config=job.config, code_hash=job.code_hash) for n, job in asked.items()},
            node=node,
        )
        asked_file.write_text(content.model_dump_json(), encoding="utf-8")
        supervisor.server.inherit()
        with self._device() as device:
            program = self._program(FINISHED_MODULE, asked_file, answers_file, device)
            exit_status = supervisor.finish(supervisor.start(program, prefix="[finished jobs]"))
        if not answers_file.exists():
            reason = read_report(answers_file, exit_status).error
            print(
                f"warning: which jobs are finished was not told ({reason}); each will see for itself", file=sys.stderr
            )
            return {}
        return FinishedJobs.model_validate_json(answers_file.read_bytes()).jobs

    def _run_one(self, supervisor: Supervisor, place: str, job: Job, folder: Path) -> JobOutcome:
        name = place.replace("/", "-")
        job_file, outcome_file = folder / f"job-{name}.json", folder / f"outcome-{name}.json"
        content = JobFile(config=job.config, code=job.code, code_hash=job.code_hash, trial=job.trial)
        job_file.write_text(content.model_dump_json(), encoding="utf-8")
        prefix = f"[{place} {job.label}]"
        with self._device() as device:
            program = self._program(self.module, job_file, outcome_file, device)
            began = time.monotonic()
            try:
                exit_status = supervisor.finish(supervisor.start(program, prefix=prefix))
            except StoppingError:
                exit_status = -signal.SIGINT
        report = read_report(outcome_file, exit_status)
        seconds = round(time.monotonic() - began, 3)
        print(f"{prefix} {report.status} after {seconds:.0f} s" + (f": {report.error}" if report.error else ""))
        return JobOutcome(label=job.label, overrides=job.overrides, seconds=seconds, **report.model_dump())

    @contextmanager
    def _device(self) -> Iterator[str | None]:
        """Lend a slot's devices."""
        device = self._free_devices.get()
        try:
            yield device
        finally:
            self._free_devices.put(device)

    def _program(self, module: str, input_file: Path, output_file: Path, device: str | None) -> Program:
        return Program(
            module=module,
            arguments=(str(input_file), str(output_file)),
            environment=job_environment(device),
            threads=self.threads,
        )


def _has_runs(job: Job) -> bool:
    """Say whether any run of the job's strategy stands in its experiment: without one, none can be finished."""
    experiment = Path(job.config["runs_dir"]) / job.config["name"]
    return any(experiment.glob(f"{escape(job.config['strategy_name'])}-*/{RECORD_FILE}"))


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
