"""The trackers that a run's settings ask for: checked before anything expensive, then begun and fed."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from peftrec.errors import SettingsError
from peftrec.results.record import Record
from peftrec.settings.run import LoggerSettings
from peftrec.trackers.figures import TrialName
from peftrec.trackers.mlflow_run import check_server
from peftrec.trackers.tracker import Feed, Tracker
from peftrec.trackers.wandb_login import check_login

NEEDED = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}
"""Switch, which is the name of the extra too, to the packages that it needs."""


def check_trackers(settings: LoggerSettings, *, verifies: bool) -> None:
    """Raise SettingsError where a tracker's package is missing, MLflow's server does not answer, or W&B cannot start
    (see `check_login`)."""
    check_packages(settings)
    if settings.mlflow:
        check_server(settings)
    check_login(settings, verifies=verifies)


def check_packages(settings: LoggerSettings) -> None:
    """Raise SettingsError where a tracker's package is missing; asks nobody, and imports nothing."""
    for switch, packages in NEEDED.items():
        if getattr(settings, switch) and any(find_spec(each) is None for each in packages):
            raise SettingsError(
                f'logger.{switch}=true: {switch} is not installed; give `pip install "peftrec[{switch}]"`, or leave it '
                f"out: logger.{switch}=false"
            )


def begin_trackers(
    settings: LoggerSettings, record: Record, run_directory: Path, *, trial: TrialName | None = None
) -> Feed:
    """Return what feeds the trackers of a run, all of them begun. Raises SettingsError where one cannot begin."""
    return Feed(list(_asked(settings, record, run_directory, trial)), record)


def _asked(settings: LoggerSettings, record: Record, run_directory: Path, trial: TrialName | None) -> Iterator[Tracker]:
    if settings.tensorboard:
        from peftrec.trackers.tensorboard_events import TensorBoardEvents

        yield TensorBoardEvents(record, run_directory)
    if settings.mlflow:
        from peftrec.trackers.mlflow_run import MlflowRun

        yield MlflowRun(settings, record, run_directory, trial=trial)
    if settings.wandb != "disabled":
        from peftrec.trackers.wandb_run import WandbRun

        yield WandbRun(settings, record, run_directory, trial=trial)
