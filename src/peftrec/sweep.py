"""A sweep: compose and check all jobs, run each in its own process, record how they ended, print the comparison."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from peftrec.composition import ROOT_CONFIG, composer, prepare_overrides, settings_from_composed
from peftrec.errors import SettingsError, UserError
from peftrec.files import write_atomically
from peftrec.isolation import Job, JobOutcome, JobRunner, visible_devices
from peftrec.settings import Settings, settings_to_config

SWEEP_FILE = "sweep.json"


class Sweep:
    """What Hydra is given as its task function: the launcher hands it the jobs, and it keeps how they ended."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self.outcomes: list[JobOutcome] = []

    def __call__(self, config: DictConfig) -> None:
        raise SettingsError("a sweep needs the launcher that gives each job a process: hydra/launcher=isolated")

    def run_jobs(self, jobs: Sequence[Job], *, directory: Path, slots: int | None, module: str) -> list[JobOutcome]:
        """Run a batch of jobs, rewriting `sweep.json` after each."""
        self.directory = directory
        devices = visible_devices() if any(may_use_cuda(job) for job in jobs) else []
        runner = JobRunner(slots=slots or max(1, len(devices)), devices=devices, module=module)
        ended: dict[int, JobOutcome] = {}

        def keep(number: int, outcome: JobOutcome) -> None:
            ended[number] = outcome
            in_order = [ended[place] for place in sorted(ended)]
            write_sweep(self.outcomes + in_order, directory)

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
        try:
            hydra.multirun(ROOT_CONFIG, task_function=sweep, overrides=prepared)
        except OSError as error:
            if error.filename is None:  # Hydra's own, for an unknown option
                raise
            raise UserError(f"cannot write to {error.filename}: {error.strerror}; set runs_dir=DIR") from error
        except KeyboardInterrupt:
            print("interrupted; the same command skips what is finished and resumes the rest", file=sys.stderr)
            raise
    return sweep


def report_sweep(sweep: Sweep) -> int:
    """Print the comparison and then the jobs that ended badly; 1 where there is one."""
    from peftrec import report

    assert sweep.directory is not None
    failed = [outcome for outcome in sweep.outcomes if outcome.status != "success"]
    status = 1 if failed else 0
    try:
        status = max(status, report.main([str(sweep.directory)]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    for outcome in failed:
        print(f"{outcome.status}: {outcome.label}: {outcome.error or 'see its record'}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} of {len(sweep.outcomes)} jobs did not succeed; see {sweep.directory / SWEEP_FILE}")
    return status


def write_sweep(outcomes: Sequence[JobOutcome], directory: Path) -> None:
    """Write `sweep.json`: one entry a job, in the order of the sweep."""
    content = {"jobs": [outcome.model_dump(mode="json") for outcome in outcomes]}
    write_atomically(directory / SWEEP_FILE, json.dumps(content, indent=2).encode())


def may_use_cuda(job: Job) -> bool:
    """Say whether the job takes a CUDA device where there is one."""
    return job.config["trainer"]["accelerator"] in ("auto", "gpu")


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
        jobs.append(
            Job(
                label=job_label(settings, own),
                overrides=[text.lstrip("+") for text in overrides],
                config=settings_to_config(settings),
            )
        )
    return jobs


def job_label(settings: Settings, own_overrides: Sequence[str]) -> str:
    """Name a job by its strategy and by what else sets it apart from the others."""
    others = [text for text in own_overrides if not text.startswith("strategy=")]
    return " ".join([settings.strategy_name, *others])
