"""Whether the process that a record names still runs."""

import os
from datetime import datetime
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from peftrec.results.record import Process

SAME_START_SECONDS = 2.0
"""A process that started further from the recorded moment is another one with a reused id."""


def this_slurm_job() -> tuple[str | None, int]:
    """Return the Slurm job that this process belongs to, and how often it was requeued."""
    return os.environ.get("SLURM_JOB_ID"), int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def is_alive(process: "Process") -> bool:
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
