"""`hydra/launcher=isolated`: every job of a sweep in an operating-system process of its own.

Hydra imports this file whenever it starts, so everything that takes time is imported when a sweep runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore

from hydra_plugins.peftrec_launcher.checked_launcher import CheckedLauncher

if TYPE_CHECKING:
    from peftrec.jobs.isolation import Job, JobOutcome


@dataclass
class IsolatedLauncherConf:
    """What `hydra.launcher` may hold."""

    _target_: str = "hydra_plugins.peftrec_launcher.isolated_launcher.IsolatedLauncher"
    slots: int | None = None
    """Jobs at a time; null means one for each visible CUDA device, or one."""
    module: str = "peftrec.jobs.job"
    """What a job's process runs as `python -m MODULE JOB_FILE OUTCOME_FILE`."""


ConfigStore.instance().store(group="hydra/launcher", name="isolated", node=IsolatedLauncherConf, provider="peftrec")


class IsolatedLauncher(CheckedLauncher):
    """Runs jobs as processes of this machine (see peftrec.jobs.isolation)."""

    def __init__(self, slots: int | None, module: str) -> None:
        self.slots = slots
        self.module = module

    def run(self, jobs: "list[Job]", job_overrides: Sequence[Sequence[str]], first_number: int) -> "list[JobOutcome]":
        self.require_counts(slots=self.slots)
        directory = Path(self.config.hydra.sweep.dir)
        return self.sweep.run_jobs(jobs, directory=directory, slots=self.slots, module=self.module)
