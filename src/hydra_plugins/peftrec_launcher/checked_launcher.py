"""What our launchers share: every job is checked before the first starts, and one that ended badly is a result."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from peftrec.errors import SettingsError

if TYPE_CHECKING:
    from peftrec.jobs.isolation import Job, JobOutcome
    from peftrec.jobs.sweep import Sweep


class CheckedLauncher(Launcher):
    """Tells Hydra that all jobs completed: one that it is told failed would stop the sweep."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra gives; the task function is a peftrec.jobs.sweep.Sweep."""
        self.hydra_context = hydra_context
        self.sweep = cast("Sweep", task_function)
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from peftrec.jobs.apart import refuse_mixed
        from peftrec.jobs.sweep import check_jobs

        loader = self.hydra_context.config_loader
        composed = [loader.load_sweep_config(self.config, list(overrides)) for overrides in job_overrides]
        jobs = check_jobs(composed, job_overrides)
        refuse_mixed(jobs)
        outcomes = self.run(jobs, job_overrides, initial_job_idx)
        return [
            JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value=outcome)
            for overrides, outcome in zip(job_overrides, outcomes, strict=True)
        ]

    def require_counts(self, **counts: int | None) -> None:
        """Raise SettingsError for a key of the launcher that counts something, and is below one."""
        for name, number in counts.items():
            if number is not None and number < 1:
                raise SettingsError(f"hydra.launcher.{name}={number}: expected a whole number from 1 on")

    @abstractmethod
    def run(self, jobs: "list[Job]", job_overrides: Sequence[Sequence[str]], first_number: int) -> "list[JobOutcome]":
        """Run checked jobs to their ends, and return how each ended."""
