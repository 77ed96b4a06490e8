"""W&B: one run a run, online as it trains, or offline in the run's folder for `wandb sync`.

Offline, W&B cannot go on with a run: each start makes a folder of its own under the same id, which counts its steps
from zero, and a second `wandb sync` overwrites what the first has sent (wandb/wandb#5865). So each start logs the whole
history again from the record, and when it ends the folders of earlier starts are removed: a run that was killed and
resumed is one folder.
"""

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from peftrec.results.costs import Epoch
from peftrec.results.record import Record
from peftrec.settings.run import LoggerSettings
from peftrec.settings.run_identity import digest
from peftrec.trackers.figures import (
    EPOCH,
    Standing,
    TrialName,
    epoch_figures,
    epoch_number,
    final_figures,
    group_of,
    name_of,
    origin_of,
)

if TYPE_CHECKING:
    from wandb import Run

Mode = Literal["offline", "online"]
FOLDER = "wandb"
"""W&B's own name for the folder that it makes where it is told to."""
LONGEST_ID = 128
_DIGITS = 12
_HIDDEN = ("val_*", "best_val_*", "test_*", "baseline_*")
"""Aliases, of which W&B is to make no panels by itself."""


class WandbRun:
    """A run of W&B, grouped by experiment; trials of a tuning in a group of their own."""

    name: ClassVar[str] = "W&B"
    without: ClassVar[str] = "logger.wandb=disabled"

    def __init__(
        self,
        settings: LoggerSettings,
        record: Record,
        directory: Path,
        *,
        trial: TrialName | None = None,
        measures_machine: bool = True,
    ) -> None:
        import wandb

        self.failures: tuple[type[Exception], ...] = failures()
        self.mode: Mode = "online" if settings.wandb == "online" else "offline"
        self.settings = settings
        self.record = record
        self.directory = directory
        self.trial = trial
        self.standing: Standing | None = None
        self._how = wandb.Settings(
            # What it would say at each start and end: a sweep has many of both.
            silent=self.mode == "offline",
            quiet=True,
            console="off",  # bars and lines of epochs; the record has what they say
            x_disable_stats=not measures_machine,
        )
        self._run: Run | None = None

    def begin(self) -> int:
        import wandb

        trial = {}
        if self.trial is not None:
            trial["trial"] = {key: value for key, value in vars(self.trial).items() if value is not None}
        self._run = run = wandb.init(
            project=self.settings.wandb_project,
            group=group_of(self.record),
            job_type=self.record.strategy,
            name=name_of(self.record, self.trial),
            id=wandb_id(self.record),
            resume="allow" if self.mode == "online" else None,
            mode=self.mode,
            dir=str(self.directory),
            config={**self.record.config, **trial, "origin": origin_of(self.record)},
            tags=[self.record.strategy, self.record.kind],
            settings=self._how,
        )
        define_metrics(run)
        # A server goes on behind the last step, which is the number of an epoch.
        return max(0, run.starting_step - 1) if self.mode == "online" else 0

    def log(self, epoch: Epoch) -> None:
        self.run.log(epoch_figures(epoch), step=epoch_number(epoch))

    def end(self, record: Record) -> None:
        self.run.summary.update(final_figures(record, self.standing))
        self.run.finish(exit_code=0 if record.is_over else 1)
        if self.mode == "offline":
            remove_earlier(self.directory, wandb_id(record), keep=Path(self.run.settings.sync_dir).name)

    @property
    def run(self) -> "Run":
        """W&B's own object, once it has begun."""
        assert self._run is not None
        return self._run


def failures() -> tuple[type[Exception], ...]:
    """Return what W&B raises where it cannot go on: its own errors, the system's, and those of its lost process."""
    import wandb
    from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

    return (wandb.Error, HandleAbandonedError, MailboxClosedError, OSError, TimeoutError)


def define_metrics(run: "Run") -> None:
    """Have curves drawn over epochs, and no panels made of what stands there twice."""
    run.define_metric(EPOCH, hidden=True)
    run.define_metric("*", step_metric=EPOCH)
    for name in _HIDDEN:
        run.define_metric(name, step_metric=EPOCH, hidden=True)


def wandb_id(record: Record) -> str:
    """Return W&B's id of a run, which a project has once: a run's own name is the same in every experiment."""
    whole = f"{record.experiment}-{record.run_id}".replace("/", "-")
    return whole if len(whole) <= LONGEST_ID else f"{whole[: LONGEST_ID - _DIGITS - 1]}-{digest(whole)[:_DIGITS]}"


def offline_folders(directory: Path, run_id: str) -> list[Path]:
    """Return the folders of a run that was logged offline below a directory, oldest first."""
    name = re.compile(rf"offline-run-\d{{8}}_\d{{6}}-{re.escape(run_id)}")
    return sorted(path for path in (directory / FOLDER).glob("offline-run-*") if name.fullmatch(path.name))


def remove_earlier(directory: Path, run_id: str, *, keep: str) -> None:
    """Remove the folders of a run but the one that holds all of it."""
    for folder in offline_folders(directory, run_id):
        if folder.name != keep:
            shutil.rmtree(folder, ignore_errors=True)


def log_again(settings: LoggerSettings, record: Record, run_directory: Path, standing: Standing | None) -> Path:
    """Write the offline run of a finished record anew, with its standing among others, and return its folder.

    It takes the place of what was logged while the run trained, once it is whole.
    """
    tracker = WandbRun(settings, record, run_directory, measures_machine=False)
    tracker.standing = standing
    tracker.begin()
    for epoch in record.epochs:
        tracker.log(epoch)
    tracker.end(record)
    return Path(tracker.run.settings.sync_dir)


def add_standing(settings: LoggerSettings, record: Record, standing: Standing) -> None:
    """Add to a run that was sent to W&B's server what only the whole comparison tells."""
    import wandb

    run = wandb.init(
        project=settings.wandb_project,
        id=wandb_id(record),
        resume="must",
        mode="online",
        settings=wandb.Settings(quiet=True, console="off", x_disable_stats=True),
    )
    run.summary.update({name: value for name, value in vars(standing).items() if value is not None})
    run.finish()
