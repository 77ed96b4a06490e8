"""After a sweep or a tuning was reported: W&B is told what only the comparison knows."""

from pathlib import Path

from peftrec.results.record import Record
from peftrec.results.runs import find_runs


def log_comparison(folder: Path) -> None:
    """Log runs of a reported folder again, those that went to W&B as they trained: with TPME and their row, and with a
    run that has the report's files. Says how to send them; imports W&B only where there are such runs."""
    if not any(_went_to_wandb(run.record) for run in find_runs(folder, unreadable=[])):
        return
    from peftrec.dashboards.content import compared
    from peftrec.dashboards.wandb_logging import log_standings

    if (said := log_standings(folder, compared(folder).comparison)) is not None:
        print(said)


def _went_to_wandb(record: Record) -> bool:
    logger = record.config.get("logger")
    return isinstance(logger, dict) and logger.get("wandb", "disabled") != "disabled"
