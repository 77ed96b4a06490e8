"""Runs of a finished comparison in W&B: each with what only the whole tells, and one that holds the report's files."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftrec.dashboards.content import Compared
from peftrec.dashboards.standings import standings
from peftrec.results.comparison import Comparison, table
from peftrec.results.record import Record
from peftrec.results.runs import Run
from peftrec.settings.run import LoggerSettings
from peftrec.trackers.figures import Standing, alias
from peftrec.trackers.tracker import explain
from peftrec.trackers.wandb_run import (
    FOLDER,
    LONGEST_ID,
    add_standing,
    failures,
    log_again,
    offline_folders,
    remove_earlier,
    wandb_id,
)

if TYPE_CHECKING:
    from wandb import Run as WandbRun

DATA_VARIABLE = "WANDB_DATA_DIR"
REPORT_FOLDER = "report"


def logger_of(record: Record) -> LoggerSettings:
    """Return how a run was logged to W&B as it trained, as its record says it."""
    said: Any = record.config.get("logger")
    mode = said.get("wandb") if isinstance(said, dict) else None
    if mode not in ("offline", "online"):
        return LoggerSettings()
    return LoggerSettings(wandb=mode, wandb_project=str(said.get("wandb_project", LoggerSettings.wandb_project)))


def log_standings(folder: Path, comparison: Comparison) -> str | None:
    """Add to the runs that went to W&B as they trained what their comparison tells of them, and log the report's files;
    return what to say of it, None where there are no such runs. What W&B refuses is told, and nothing is lost: the
    records have it."""
    tracked = [(run, settings) for run in comparison.runs if (settings := logger_of(run.record)).wandb != "disabled"]
    if not tracked:
        return None
    standing = standings(comparison)
    try:
        for run, settings in tracked:
            _log_one(run, settings, standing.get(run.name))
        _log_report(folder, comparison, tracked[-1][1])
    except failures() as error:
        print(f"warning: W&B takes no more of this report ({explain(error)}); its files have all", file=sys.stderr)
        return None
    if all(settings.wandb == "online" for _, settings in tracked):
        return f"W&B: {len(tracked)} runs have their TPME, and a run `report` has the tables and figures"
    return f"W&B: {len(tracked)} runs offline, and one of the report; send them:\n  {sync_command(folder)}"


def sync_command(folder: Path) -> str:
    """Return what sends the offline runs below a folder, however deep it holds experiments and trials."""
    return f"find {shlex.quote(str(folder))} -type d -name 'offline-run-*' -exec wandb sync {{}} +"


def never_logged(found: Compared) -> int:
    """Return how many runs and trials went to W&B neither as they trained nor from their records since."""
    return sum(
        logger_of(run.record).wandb == "disabled" and not offline_folders(run.folder, wandb_id(run.record))
        for run in (*found.comparison.runs, *found.trials)
    )


def log_offline(folder: Path, found: Compared, project: str) -> int:
    """Write every run, trials too, as an offline run from its record, and the report's files; return how many. Raises
    what W&B raises."""
    settings = LoggerSettings(wandb="offline", wandb_project=project)
    standing = standings(found.comparison)
    every = [*found.comparison.runs, *found.trials]
    for run in every:
        log_again(settings, run.record, run.folder, standing.get(run.name))
    _log_report(folder, found.comparison, settings)
    return len(every)


def _log_one(run: Run, settings: LoggerSettings, standing: Standing | None) -> None:
    if settings.wandb == "offline":
        log_again(settings, run.record, run.folder, standing)
    elif standing is not None:
        add_standing(settings, run.record, standing)


def _log_report(folder: Path, comparison: Comparison, settings: LoggerSettings) -> None:
    """Log the table, and the report's files as an artifact, as a run of the experiment's group."""
    import wandb

    run_id = f"{'-'.join(comparison.experiments)}-report"[-LONGEST_ID:]
    with _staged_below(folder / FOLDER):
        run = wandb.init(
            project=settings.wandb_project,
            group=comparison.experiments[0],
            job_type="report",
            name="report",
            id=run_id,
            resume="allow" if settings.wandb == "online" else None,
            mode="online" if settings.wandb == "online" else "offline",
            dir=str(folder),
            tags=["report"],
            settings=wandb.Settings(
                silent=settings.wandb == "offline", quiet=True, console="off", x_disable_stats=True
            ),
        )
        _log_table(run, comparison)
        artifact = wandb.Artifact(f"{run_id}-files", type="report")
        for file in _report_files(folder / REPORT_FOLDER):
            artifact.add_file(str(file))
        run.log_artifact(artifact)
        run.finish()
    if settings.wandb == "offline":
        remove_earlier(folder, run_id, keep=Path(run.settings.sync_dir).name)


def _log_table(run: "WandbRun", comparison: Comparison) -> None:
    import wandb

    frame = table(comparison).astype(object)
    rows: list[Any] = frame.where(frame.notna(), None).to_numpy().tolist()
    run.log({"comparison": wandb.Table(columns=list(frame.columns), data=rows)})
    run.summary.update(
        {f"{name}/{alias(row)}": value for name, by_row in _by_row(comparison).items() for row, value in by_row.items()}
    )


def _by_row(comparison: Comparison) -> dict[str, dict[str, float]]:
    return {"tpme": dict(comparison.tpme), "pscp": dict(comparison.pscp)}


def _report_files(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []


@contextmanager
def _staged_below(folder: Path) -> Iterator[None]:
    """Have W&B keep what an offline run will upload beside the run, and not in the user's home, which may be another's
    when it is sent; what an earlier run kept there goes."""
    if DATA_VARIABLE in os.environ:
        yield
        return
    shutil.rmtree(folder / "artifacts", ignore_errors=True)
    os.environ[DATA_VARIABLE] = str(folder.resolve())
    try:
        yield
    finally:
        del os.environ[DATA_VARIABLE]
