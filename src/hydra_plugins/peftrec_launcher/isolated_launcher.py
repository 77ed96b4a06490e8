"""`hydra/launcher=isolated`: every job of a sweep in an operating-system process of its own.

Hydra imports this file whenever it starts, so everything that takes time is imported when a sweep runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from peftrec.sweep import Sweep


@dataclass
class IsolatedLauncherConf:
    """What `hydra.launcher` may hold."""

    _target_: str = "hydra_plugins.peftrec_launcher.isolated_launcher.IsolatedLauncher"
    slots: int | None = None
    """Jobs at a time; null means one for each visible CUDA device, or one."""
    module: str = "peftrec.job"
    """What a job's process runs as `python -m MODULE JOB_FILE OUTCOME_FILE`."""


ConfigStore.instance().store(group="hydra/launcher", name="isolated", node=IsolatedLauncherConf, provider="peftrec")


class IsolatedLauncher(Launcher):
    """Checks every job before it starts the first, and tells Hydra that all completed.

    A job that ended badly is a result like any other (see peftrec.isolation); a job that Hydra is told failed would
    stop the sweep.
    """

    def __init__(self, slots: int | None, module: str) -> None:
        self.slots = slots
        self.module = module

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra gives; the task function is a peftrec.sweep.Sweep."""
        self.hydra_context = hydra_context
        self.sweep = cast("Sweep", task_function)
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from peftrec.sweep import check_jobs

        loader = self.hydra_context.config_loader
        composed = [loader.load_sweep_config(self.config, list(overrides)) for overrides in job_overrides]
        jobs = check_jobs(composed, job_overrides)
        directory = Path(self.config.hydra.sweep.dir)
        outcomes = self.sweep.run_jobs(jobs, directory=directory, slots=self.slots, module=self.module)
        return [
            JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value=outcome)
            for overrides, outcome in zip(job_overrides, outcomes, strict=True)
        ]
