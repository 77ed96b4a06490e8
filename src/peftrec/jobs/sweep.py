"""A sweep: compose and check all jobs, run each in its own process, record how they ended, print the comparison."""

import errno
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

from peftrec.code.user_code import hand_over, take_over
from peftrec.config.composition import ROOT_CONFIG, composer, parse_override, prepare_overrides
from peftrec.config.hydra_node import SWEEP_FOLDER, check_node
from peftrec.config.roles import roles_of
from peftrec.devices import visible_devices
from peftrec.errors import SettingsError, UserError
from peftrec.files import no_empty_folders, write_atomically
from peftrec.jobs.apart import refuse_doubles
from peftrec.jobs.isolation import ClusterNode, Job, JobOutcome, JobRunner
from peftrec.jobs.launching import JOB_MODULE, may_use_cuda, num_devices
from peftrec.jobs.time_left import progress_line
from peftrec.settings.composition import settings_from_composed
from peftrec.settings.run import LoggerSettings, Settings, TrainerSettings, settings_from_config, settings_to_config
from peftrec.settings.run_identity import processes_decide, run_code
from peftrec.trackers.tracking import check_trackers

SWEEP_FILE = "sweep.json"
HYDRAS_FILE = "multirun.yaml"
"""What Hydra's sweeper leaves in a sweep's folder: its composed configuration."""


class Sweep:
    """What Hydra is given as its task function: the launcher hands it the jobs, and it keeps how they ended."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self.outcomes: list[JobOutcome] = []
        self.submitted: dict[int, Job] = {}
        """Jobs that a cluster runs, by Hydra's number; they travel there with the sweep, as they were checked."""

    def __call__(self, config: DictConfig) -> JobOutcome:
        """Run one job on a cluster's node; what stands in `config` was composed there again and is not read."""
        job = self.submitted.get(HydraConfig.get().job.num)
        if job is None:
            raise SettingsError("a sweep needs a launcher that gives each job a process: hydra/launcher=isolated")
        from peftrec.jobs.job import train

        started = time.monotonic()
        take_over(job.code)
        report = train(job.config, code_hash=job.code_hash)
        seconds = round(time.monotonic() - started, 3)
        return JobOutcome(label=job.label, overrides=job.overrides, seconds=seconds, **report.model_dump())

    @property
    def experiments(self) -> list[Path]:
        """The folders of experiments that the runs lie in; several where jobs have names of their own."""
        folders = {Path(each.run_directory).parent for each in self.outcomes if each.run_directory is not None}
        return sorted(folders) or ([] if self.directory is None else [self.directory])

    def keep(self, outcomes: Sequence[JobOutcome], directory: Path) -> None:
        """Add outcomes and rewrite `sweep.json`."""
        self.directory = directory
        self.outcomes += outcomes
        write_sweep(self.outcomes, directory)

    def finished(self, jobs: Sequence[Job], node: ClusterNode | None) -> dict[int, JobOutcome]:
        """Return how those jobs ended, by their places, whose runs are there already, and say so. `node` is where the
        others will run, null for this machine."""
        found = JobRunner(slots=1, devices=[], module=JOB_MODULE).finished(jobs, node)
        for number, run in found.items():
            print(f"[{number + 1}/{len(jobs)} {jobs[number].label}] {run.said}")
        return {number: run.outcome(jobs[number]) for number, run in found.items()}

    def run_jobs(self, jobs: Sequence[Job], *, directory: Path, slots: int | None, module: str) -> list[JobOutcome]:
        """Run a batch of jobs, rewriting `sweep.json` after each."""
        for job in jobs:  # told once, and not by each of them
            check_trackers(LoggerSettings(**job.config["logger"]), verifies=False)
        devices = device_groups(jobs)
        self.directory = directory
        runner = JobRunner(slots=slots or max(1, len(devices)), devices=devices, module=module)
        ended: dict[int, JobOutcome] = {}

        def keep(number: int, outcome: JobOutcome) -> None:
            ended[number] = outcome
            in_order = [ended[place] for place in sorted(ended)]
            write_sweep(self.outcomes + in_order, directory)
            if line := progress_line(jobs, ended, slots=runner.slots):
                print(line, flush=True)

        runner.run(jobs, keep)
        self.outcomes += [ended[number] for number in range(len(jobs))]
        return self.outcomes[-len(jobs) :]


def run_sweep(overrides: Sequence[str], *, config_dir: Path | None = None) -> Sweep:
    """Run a sweep through Hydra's sweeper and launcher."""
    sweep = Sweep()
    with composer(config_dir):
        prepared = prepare_overrides(overrides, is_sweep=True)
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        # Before Hydra sets up logging and callbacks, which it does from this node.
        composed = hydra.compose_config(ROOT_CONFIG, prepared, RunMode.MULTIRUN, with_log_configuration=False)
        check_node(composed)
        try:
            with _nothing_left_of_a_refused(sweep, Path(composed.hydra.sweep.dir)):
                hydra.multirun(ROOT_CONFIG, task_function=sweep, overrides=prepared)
        except OSError as error:
            if error.filename is None or error.errno == errno.ENAMETOOLONG:  # Hydra's own, for an unknown option
                raise
            is_given = any(parse_override(word).key_or_group == SWEEP_FOLDER for word in overrides)
            key = SWEEP_FOLDER if is_given else "runs_dir"
            raise UserError(f"cannot write to {error.filename}: {error.strerror}; set {key}=DIR") from error
    return sweep


@contextmanager
def _nothing_left_of_a_refused(sweep: Sweep, directory: Path) -> Iterator[None]:
    """Take back what Hydra's sweeper writes before it composes the jobs, where none of them began."""
    file = directory / HYDRAS_FILE
    before = file.read_bytes() if os.path.lexists(file) else None
    with no_empty_folders(directory):
        try:
            yield
        finally:
            if sweep.directory is None and not sweep.submitted:
                if before is not None:
                    write_atomically(file, before)
                elif os.path.lexists(file):
                    file.unlink()


def expand_sweep(overrides: Sequence[str], *, config_dir: Path | None = None) -> dict[str, Settings]:
    """Return the checked settings of a sweep's jobs by label, those that `run_sweep` would start."""
    with composer(config_dir) as loader:
        parsed = OverridesParser.create(loader).parse_overrides(prepare_overrides(overrides, is_sweep=True))
        batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        job_overrides = [list(job) for batch in batches for job in batch]
        composed = [compose(ROOT_CONFIG, overrides=job, return_hydra_config=True) for job in job_overrides]
        jobs = check_jobs(composed, job_overrides)
    return {job.label: settings_from_config(job.config) for job in jobs}


def write_sweep(outcomes: Sequence[JobOutcome], directory: Path) -> None:
    """Write `sweep.json`: one entry a job, in the order of the sweep."""
    content = {"jobs": [outcome.model_dump(mode="json") for outcome in outcomes]}
    write_atomically(directory / SWEEP_FILE, json.dumps(content, indent=2).encode())


def device_groups(jobs: Sequence[Job]) -> list[str]:
    """Divide the visible CUDA devices into groups that each satisfy any of the jobs; none where none uses CUDA.

    Raises SettingsError where a job asks for more than there are.
    """
    trainers = [TrainerSettings(**job.config["trainer"]) for job in jobs]
    visible = visible_devices() if any(may_use_cuda(trainer) for trainer in trainers) else []
    if any(trainer.num_nodes > 1 for trainer in trainers):
        raise SettingsError("trainer.num_nodes: jobs of a sweep run on one node here; take hydra/launcher=slurm")
    size = max(num_devices(trainer, visible) for trainer in trainers)
    return [",".join(visible[start : start + size]) for start in range(0, len(visible) - size + 1, size)]


def check_jobs(composed: Sequence[DictConfig], job_overrides: Sequence[Sequence[str]]) -> list[Job]:
    """Turn every composed config into a job, or refuse the whole sweep before any of them starts."""
    shared = set.intersection(*({*each} for each in job_overrides)) if len(job_overrides) > 1 else set()
    jobs = []
    for config, overrides in zip(composed, job_overrides, strict=True):
        own = [text.lstrip("+") for text in overrides if text not in shared]
        try:
            settings = settings_from_composed(config)
        except SettingsError as error:
            raise SettingsError(f"job {' '.join(own)}: {error}") from error
        jobs.append(job_of(settings, overrides, own))
    refuse_doubles(jobs)
    return with_user_code(jobs)


def job_of(settings: Settings, overrides: Sequence[str], own_overrides: Sequence[str]) -> Job:
    """Return the job that trains checked settings; `own_overrides` set it apart from the others."""
    return Job(
        label=job_label(settings, own_overrides),
        overrides=[text.lstrip("+") for text in overrides],
        config=settings_to_config(settings),
        roles=_roles(settings),
        code_hash=run_code(settings).digest,
    )


def with_user_code(jobs: Sequence[Job]) -> list[Job]:
    """Give jobs the user's code, when all modules of all of them have been read."""
    code = hand_over()
    return [job.model_copy(update={"code": code}) for job in jobs]


def _roles(settings: Settings) -> dict[str, str]:
    """Return the keys that do not decide the result; those of the number of processes do for some settings."""
    roles = dict(roles_of(settings))
    if processes_decide(settings):
        for key in ("trainer.devices", "trainer.num_nodes"):
            del roles[key]
    return {key: str(role) for key, role in roles.items()}


def job_label(settings: Settings, own_overrides: Sequence[str]) -> str:
    """Name a job by its strategy and by what else sets it apart from the others."""
    others = [text for text in own_overrides if not text.startswith("strategy=")]
    return " ".join([settings.strategy_name, *others])
