"""One operating-system process a job, on a device slot of its own: start, stream, stop, and tell how it ended."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from peftrec.results.record import Status

SECONDS_TO_RECORD_AN_INTERRUPTION = 20.0
SECONDS_TO_DRAIN_OUTPUT = 5.0


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


class JobOutcome(BaseModel):
    """How a job ended, as its own process said, or else as its exit status tells."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    overrides: list[str]
    status: Status
    run_directory: str | None = None
    error: str | None = None
    seconds: float


class JobReport(BaseModel):
    """What a job's process writes into its outcome file before it exits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status
    run_directory: str | None = None
    error: str | None = None


class JobRunner:
    """Runs jobs on slots; `devices` are shared round robin and may be empty (no CUDA). One of them is what a job's
    CUDA_VISIBLE_DEVICES will be: a device, or several with commas between."""

    def __init__(self, *, slots: int, devices: Sequence[str], module: str) -> None:
        self.slots = slots
        self.module = module
        self._free_devices: SimpleQueue[str | None] = SimpleQueue()
        for slot in range(slots):
            self._free_devices.put(devices[slot % len(devices)] if devices else None)
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._starting = threading.Lock()
        self._is_stopping = False

    def run(self, jobs: Sequence[Job], on_outcome: Callable[[int, JobOutcome], None]) -> None:
        """Run all jobs; `on_outcome` gets each job's place and outcome as it ends.

        Ctrl-C lets the running jobs record their interruption, ends them, and is raised again.
        """
        with TemporaryDirectory(prefix="peftrec-sweep-") as folder, ThreadPoolExecutor(self.slots) as pool:
            futures = {
                pool.submit(self._run_one, number, len(jobs), job, Path(folder)): number
                for number, job in enumerate(jobs)
            }
            try:
                for future in as_completed(futures):
                    on_outcome(futures[future], future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._stop()
                raise

    def _run_one(self, number: int, total: int, job: Job, folder: Path) -> JobOutcome:
        device = self._free_devices.get()
        job_file, outcome_file = folder / f"job-{number}.json", folder / f"outcome-{number}.json"
        job_file.write_text(json.dumps(job.config))
        prefix = f"[{number + 1}/{total} {job.label}]"
        start = time.monotonic()
        try:
            exit_status = self._run_process(number, [str(job_file), str(outcome_file)], device, prefix)
        finally:
            self._free_devices.put(device)
        report = read_report(outcome_file, exit_status)
        seconds = round(time.monotonic() - start, 3)
        print(f"{prefix} {report.status} after {seconds:.0f} s" + (f": {report.error}" if report.error else ""))
        return JobOutcome(label=job.label, overrides=job.overrides, seconds=seconds, **report.model_dump())

    def _run_process(self, number: int, arguments: list[str], device: str | None, prefix: str) -> int:
        with self._starting:
            if self._is_stopping:
                return -signal.SIGINT
            process = start_process(self.module, arguments, device)
            self._processes[number] = process
        stream = threading.Thread(target=_print_lines, args=(process, prefix), daemon=True)
        stream.start()
        status = process.wait()
        signal_group(process, signal.SIGKILL)  # loader processes that outlived it
        stream.join(SECONDS_TO_DRAIN_OUTPUT)
        close_pipes(process, is_drained=not stream.is_alive())
        return status

    def _stop(self) -> None:
        with self._starting:
            self._is_stopping = True
        running = [process for process in self._processes.values() if process.poll() is None]
        for process in running:
            signal_group(process, signal.SIGINT)
        deadline = time.monotonic() + SECONDS_TO_RECORD_AN_INTERRUPTION
        try:
            while any(process.poll() is None for process in running) and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            for process in running:
                signal_group(process, signal.SIGKILL)


def start_process(module: str, arguments: list[str], device: str | None) -> "subprocess.Popen[str]":
    """Start a job's process in a session of its own: Ctrl-C reaches this process alone, which passes it on once."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,  # never written to: its end tells the job that this process is gone
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=job_environment(device),
        start_new_session=True,
    )


def close_pipes(process: "subprocess.Popen[str]", *, is_drained: bool) -> None:
    """Close both ends; output that a stray process still holds open is left to the thread that reads it."""
    if process.stdin is not None:
        process.stdin.close()
    if process.stdout is not None and is_drained:
        process.stdout.close()


def read_report(outcome_file: Path, exit_status: int) -> JobReport:
    """Return what the job wrote, or what its exit status says where it wrote nothing."""
    if outcome_file.exists():
        return JobReport.model_validate_json(outcome_file.read_bytes())
    if exit_status == -signal.SIGINT:
        return JobReport(status="interrupted", error="interrupted")
    if exit_status < 0:
        name = signal.Signals(-exit_status).name
        hint = "; the system may have run out of memory" if exit_status == -signal.SIGKILL else ""
        return JobReport(status="failed", error=f"the process was killed by {name}{hint}")
    return JobReport(status="failed", error=f"the process exited with status {exit_status} and said nothing")


def job_environment(device: str | None) -> dict[str, str]:
    """Return this process's environment, narrowed to its slot's CUDA devices where there are some."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if device is not None:
        environment["CUDA_VISIBLE_DEVICES"] = device
    return environment


def _print_lines(process: "subprocess.Popen[str]", prefix: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        print(f"{prefix} {line}", end="" if line.endswith("\n") else "\n", flush=True)


def signal_group(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    """Signal a process and what it started, as long as anything of it is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
