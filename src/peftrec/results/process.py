"""The process that a record names: which one this is, and whether one still runs."""

import os
from datetime import UTC, datetime

import psutil

from peftrec.results.record_part import RecordPart

SAME_START_SECONDS = 2.0
"""A process that started further from the recorded moment is another one with a reused id."""


class Process(RecordPart):
    """Who runs it, to tell a living run from one that died without a word."""

    process_id: int
    host: str
    started_at: str
    """Start of the process, ISO 8601 in UTC; a process id alone is reused by the system."""
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
        slurm_job=job,
        slurm_restarts=restarts,
    )


def this_slurm_job() -> tuple[str | None, int]:
    """Return the Slurm job that this process belongs to, and how often it was requeued."""
    return os.environ.get("SLURM_JOB_ID"), int(os.environ.get("SLURM_RESTART_COUNT", "0"))


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
    return (
        found.status() != psutil.STATUS_ZOMBIE
        and abs(found.create_time() - _seconds(process.started_at)) < SAME_START_SECONDS
    )


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
