"""The process that a record names: which one this is, and whether one still runs."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil

from peftrec.processes import Starter, whole_number
from peftrec.results.record_part import RecordPart

SAME_START_SECONDS = 2.0
"""A process that started further from the recorded moment is another one with a reused id; only where the system
does not say what `Process.birth` holds."""
_START_TICKS = 19
"""Of the fields behind the name in /proc/PID/stat (proc_pid_stat(5), starttime)."""
_RESTARTS = "SLURM_RESTART_COUNT"
_SBATCH = Starter("sbatch", unset=(_RESTARTS,))


class Process(RecordPart):
    """Who runs it, to tell a living run from one that died without a word."""

    process_id: int
    host: str
    started_at: str
    """Start of the process, ISO 8601 in UTC; a process id alone is reused by the system."""
    birth: str | None = None
    """The start of the system by its own name, and of the process in ticks since then (Linux): no change of the clock
    moves it."""
    slurm_job: str | None = None
    """The Slurm job that it belongs to, on whatever node."""
    slurm_restarts: int = 0
    """How often Slurm had requeued the job by then: it kills what is left of a job before it starts it again."""


def this_process() -> Process:
    """Describe the running process."""
    started = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
    job, restarts = this_slurm_job()
    return Process(
        process_id=os.getpid(),
        host=os.uname().nodename,
        started_at=started.isoformat(),
        birth=birth_of(os.getpid()),
        slurm_job=job,
        slurm_restarts=restarts,
    )


def birth_of(process_id: int) -> str | None:
    """Return when a process of this host started, by no clock; None where the system does not say (not Linux)."""
    with suppress(OSError, ValueError, IndexError):
        system = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        fields = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return f"{system}:{int(fields[_START_TICKS])}"
    return None


def this_slurm_job() -> tuple[str | None, int]:
    """Return the Slurm job that this process belongs to, and how often it was requeued."""
    return os.environ.get("SLURM_JOB_ID"), whole_number(os.environ, _RESTARTS, _SBATCH, otherwise=0)


def is_alive(process: Process) -> bool:
    """Say whether the process still runs. On another host it cannot be known and counts as alive, unless this is the
    same Slurm job, started again."""
    job, restarts = this_slurm_job()
    if job is not None and process.slurm_job == job and process.slurm_restarts < restarts:
        return False
    if process.host != os.uname().nodename:
        return True
    try:
        found = psutil.Process(process.process_id)
    except psutil.NoSuchProcess:
        return False
    if found.status() == psutil.STATUS_ZOMBIE:
        return False
    if process.birth is not None and (birth := birth_of(process.process_id)) is not None:
        return process.birth == birth
    return abs(found.create_time() - _seconds(process.started_at)) < SAME_START_SECONDS


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
