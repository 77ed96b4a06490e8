"""`peftrec train`: compose, check, then run in this process, or hand a sweep to one process a job."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from peftrec.cli.arguments import RUN_SETTINGS, SWEEP, Grammar, read_arguments
from peftrec.config.choices import options
from peftrec.errors import SettingsError, UserError
from peftrec.measuring.request import AUTO

if TYPE_CHECKING:
    from peftrec.jobs.sweep import Sweep
    from peftrec.measuring.request import When

MEASURE = "measure"
HELP = """usage: peftrec train [-m] [--cfg] [--config-dir DIR] [code=DIR] [measure=auto|always|never]
                     [name=NAME] [GROUP=OPTION ...] [KEY=VALUE ...]

  -m                sweep: every combination of comma-separated values, a process each; finished runs are skipped
  --cfg             print the checked configuration as yaml and stop
  measure=auto      after a sweep, `peftrec measure` times the steps of its runs side by side where other work, or their
                    own scatter, disturbed their times (always, never)
  code=DIR          classes of your own may come from DIR: strategy._target_=mine.Mine
  --config-dir DIR  the same, and DIR's yaml files stand beside those below: DIR/strategy/mine.yaml is strategy=mine

name= is the experiment's name: its runs, and its report, lie in runs/NAME.

examples:
  peftrec train name=first strategy=iisan_cached trainer.max_epochs=2
  peftrec train name=first strategy=lora trainer.max_epochs=2
  peftrec train -m name=seeds strategy=frozen_cached,iisan_cached seed=1,2 trainer.max_epochs=2 measure=never
  peftrec train strategy=lora strategy.rank=4 --cfg
  peftrec train strategy=lora data=movielens_posters data.root=DIR --cfg

groups and their options:
"""


def help_text() -> str:
    """Return the help with what there is to choose from."""
    return HELP + list_choices()


GRAMMAR = Grammar(
    verb="train",
    help=help_text,
    flags=SWEEP | {"--cfg"},
    keys=(MEASURE,),
    values={MEASURE: (AUTO, "always", "never")},
    leaves_others=True,
    composes=RUN_SETTINGS,
    runs_user_code=True,
    extras={
        "slurm": "hydra/launcher=slurm",
        "lmdb": "data.images=FILE.lmdb",
        "tensorboard": "logger=tensorboard",
        "mlflow": "logger=mlflow",
    },
)


def main(arguments: list[str]) -> int:
    """Train; 0 where every run ended well (or had already)."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    if "--cfg" in given.flags:
        return show(given.others)
    when = cast("When", given.own.get(MEASURE, AUTO))
    if when == "always" and not given.is_sweep:
        raise SettingsError(
            "measure=always: one run has nothing beside it; give it to a sweep (-m), or use peftrec measure"
        )
    return sweep(given.others, measure=when) if given.is_sweep else train(given.others)


def train(overrides: list[str]) -> int:
    """Train one configuration, in this process or in one for each of several devices."""
    from peftrec.settings.composition import compose_settings

    settings = compose_settings(overrides)
    from peftrec.jobs.launching import launch
    from peftrec.processes import ALONE, rank_of_environment

    outcome = launch(settings)
    if not (rank_of_environment() or ALONE).is_first:
        return 0
    print(describe(outcome.run_directory))
    if settings.logger.wandb == "offline":
        print(f"W&B, to send it: wandb sync {outcome.run_directory}/wandb/offline-run-*")
    print(f"{outcome.status}: {outcome.run_directory}")
    return 0 if outcome.status == "success" else 1


def describe(run_directory: Path) -> str:
    """Return the test figures of a finished run, each beside the baselines, which need no training."""
    from peftrec.results.record import read_record

    record = read_record(run_directory)
    assert record.evaluation is not None
    assert record.data is not None
    figures = ", ".join(
        f"{metric} {record.evaluation.test[metric]:.4f} "
        f"({', '.join(f'{name} {baseline[metric]:.4f}' for name, baseline in record.evaluation.baselines.items())})"
        for metric in ("hr@10", "ndcg@10")
    )
    return f"test, epoch {record.chosen_epoch_from_one}, {record.data.num_candidates:,} candidates: {figures}"


def sweep(overrides: list[str], *, measure: "When") -> int:
    """Train every job of a sweep, time the steps of its runs side by side where that is asked for or needed, print the
    comparison, and name the jobs that failed."""
    from peftrec.jobs.sweep import run_sweep

    finished = run_sweep(overrides)
    from peftrec.measuring.after_sweep import measure_sweep

    measure_sweep(finished, measure)
    return report_sweep(finished)


def report_sweep(sweep: "Sweep") -> int:
    """Print the comparison and then the jobs that ended badly; 1 where there is one."""
    from peftrec.cli import report
    from peftrec.dashboards.after_report import log_comparison
    from peftrec.jobs.sweep import SWEEP_FILE

    assert sweep.directory is not None
    failed = [outcome for outcome in sweep.outcomes if outcome.status != "success"]
    status = 1 if failed else 0
    try:
        for folder in sweep.experiments:
            status = max(status, report.main([str(folder)]))
            log_comparison(folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    for outcome in failed:
        print(f"{outcome.status}: {outcome.label}: {outcome.error or 'see its record'}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} of {len(sweep.outcomes)} jobs did not succeed; see {sweep.directory / SWEEP_FILE}")
    return status


def show(overrides: list[str]) -> int:
    """Print the configuration that a record would hold."""
    import yaml

    from peftrec.settings.composition import compose_settings
    from peftrec.settings.run import settings_to_config

    print(yaml.safe_dump(settings_to_config(compose_settings(overrides)), sort_keys=False, allow_unicode=True), end="")
    return 0


def list_choices() -> str:
    """Return one line for each group of the configuration folder."""
    return "\n".join(f"  {group:<16} {', '.join(names)}" for group, names in options().items())
