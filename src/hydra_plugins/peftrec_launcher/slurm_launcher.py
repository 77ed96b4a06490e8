"""`hydra/launcher=slurm`: every job of a sweep a job of a Slurm array, submitted by submitit.

The plugin hydra-submitit-launcher does the work on the nodes. Submitting and waiting is done here, because its launcher
checks nothing beforehand and loses a whole sweep when one job dies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from omegaconf import MISSING, OmegaConf

from hydra_plugins.peftrec_launcher.checked_launcher import CheckedLauncher
from peftrec.errors import SettingsError, counted, expected_one_of

if TYPE_CHECKING:
    from peftrec.jobs.isolation import ClusterNode, Job, JobOutcome

_OF_ANY_CLUSTER = {"cpus_per_task", "gpus_per_node", "mem_gb", "name", "nodes", "tasks_per_node", "timeout_min"}
"""Parameters that submitit names without the cluster."""

_CLUSTERS = ("slurm", "local", "debug")
_COUNTS = ("cpus_per_task", "timeout_min", "array_parallelism", "nodes", "tasks_per_node")


@dataclass
class SlurmLauncherConf:
    """What `hydra.launcher` may hold: `hydra.launcher.partition=gpu`. Null leaves a value to the cluster."""

    _target_: str = "hydra_plugins.peftrec_launcher.slurm_launcher.SlurmLauncher"
    partition: str = MISSING
    gpus_per_node: int | None = 1
    """As many as `trainer.devices`."""
    cpus_per_task: int | None = 8
    mem_gb: int | None = 64
    timeout_min: int = 24 * 60
    array_parallelism: int = 16
    """Jobs at a time."""
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    nodes: int = 1
    """As many as `trainer.num_nodes`."""
    tasks_per_node: int = 1
    """One task starts a process for each device itself; on several nodes, as many tasks as `trainer.devices`."""
    max_num_timeout: int = 3
    """How often a job that ran out of time is submitted again; it resumes at its last completed epoch."""
    setup: list[str] | None = None
    """Shell lines before the job: `module load cuda`."""
    additional_parameters: dict[str, Any] = field(default_factory=dict)
    """Further options of sbatch."""
    folder: str = "${hydra.sweep.dir}/.submitit/%j"
    """Where scripts and output of the jobs lie, on a file system that the nodes share, as `runs_dir` must."""
    cluster: str = "slurm"
    """submitit's `local` runs the jobs on this machine, to try out a sweep."""


ConfigStore.instance().store(group="hydra/launcher", name="slurm", node=SlurmLauncherConf, provider="peftrec")


class SlurmLauncher(CheckedLauncher):
    """Submits the jobs that are not finished already, and waits for them."""

    def __init__(self, folder: str, cluster: str, max_num_timeout: int, **parameters: Any) -> None:
        self.folder = folder
        self.cluster = cluster
        self.max_num_timeout = max_num_timeout
        self.parameters = parameters

    def run(self, jobs: "list[Job]", job_overrides: Sequence[Sequence[str]], first_number: int) -> "list[JobOutcome]":
        self._check()
        finished = self.sweep.finished(jobs, self._node())
        if finished:
            print(f"not submitted, as finished already: {len(finished)} of {counted(len(jobs), 'job')}")
        tasks = self._submit({n: job for n, job in enumerate(jobs) if n not in finished}, job_overrides, first_number)
        directory = Path(self.config.hydra.sweep.dir)
        outcomes = []
        try:
            for number, job in enumerate(jobs):
                outcomes.append(finished[number] if number in finished else _outcome(tasks[number], job))
                self.sweep.keep(outcomes[-1:], directory)
        except KeyboardInterrupt:
            array = next(iter(tasks.values())).job_id.split("_")[0]
            print(f"the jobs go on without this process; scancel {array} ends them")
            raise
        return outcomes

    def _check(self) -> None:
        """Raise SettingsError for what submitit would refuse in words of its own, or only on a node."""
        if self.cluster not in _CLUSTERS:
            raise SettingsError(f"hydra.launcher.cluster={self.cluster}: {expected_one_of(_CLUSTERS, self.cluster)}")
        self.require_counts(**{name: self.parameters[name] for name in _COUNTS if name in self.parameters})

    def _submit(
        self, jobs: "dict[int, Job]", job_overrides: Sequence[Sequence[str]], first_number: int
    ) -> dict[int, Any]:
        """Submit jobs, by their places, as one array; nothing where there are none."""
        if not jobs:
            return {}
        numbers = [first_number + place for place in jobs]
        self.sweep.submitted |= dict(zip(numbers, jobs.values(), strict=True))
        executor, on_node = self._executor(), self._on_node()
        submitted = executor.map_array(
            on_node,
            [list(job_overrides[place]) for place in jobs],
            ["hydra.sweep.dir"] * len(jobs),
            numbers,
            [f"job_id_for_{number}" for number in numbers],
            [Singleton.get_state()] * len(jobs),
        )
        tasks = dict(zip(jobs, submitted, strict=True))
        print(f"submitted {', '.join(f'{task.job_id} {jobs[place].label}' for place, task in tasks.items())}")
        return tasks

    def _node(self) -> "ClusterNode | None":
        from peftrec.jobs.isolation import ClusterNode

        return ClusterNode(gpus=self.parameters["gpus_per_node"]) if self.cluster == "slurm" else None

    def _executor(self) -> Any:
        retries = {"slurm_max_num_timeout": self.max_num_timeout} if self.cluster == "slurm" else {}
        try:
            executor = _imported("submitit").AutoExecutor(folder=self.folder, cluster=self.cluster, **retries)
        except RuntimeError as error:
            raise SettingsError(f"hydra/launcher=slurm: {error}; give the command on a node that submits") from error
        plain = {
            name: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for name, value in self.parameters.items()
        }
        executor.update_parameters(
            name="peftrec",
            **{name if name in _OF_ANY_CLUSTER else f"slurm_{name}": value for name, value in plain.items()},
        )
        return executor

    def _on_node(self) -> Any:
        """Return the plugin's launcher: a function on the nodes, which submits itself again after a timeout."""
        plugin = _imported("hydra_plugins.hydra_submitit_launcher.submitit_launcher").BaseSubmititLauncher()
        plugin.setup(hydra_context=self.hydra_context, task_function=self.sweep, config=self.config)
        return plugin


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise SettingsError(
            f'hydra/launcher=slurm: {error.name} is not installed; pip install "peftrec[slurm]"'
        ) from error


def _outcome(task: Any, job: "Job") -> "JobOutcome":
    """Wait for a submitted job; one that ended without a word is a result like any other."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

    from peftrec.jobs.isolation import JobOutcome

    try:
        outcome: JobOutcome = task.results()[0].return_value
    except (UncompletedJobError, FailedJobError, FailedSubmissionError) as error:
        said = str(error).strip().splitlines()
        return JobOutcome(
            label=job.label,
            overrides=job.overrides,
            status="failed",
            error=f"{type(error).__name__}: {said[0] if said else 'no message'}; see {task.paths.stderr}",
            seconds=0.0,
        )
    return outcome
