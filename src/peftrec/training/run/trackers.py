"""W&B beside the record: one run a job, group = experiment, finished whatever happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import Logger

from peftrec.errors import UserError
from peftrec.results.record import Record
from peftrec.settings.run import LoggerSettings
from peftrec.training.run.wandb_login import explain


@contextmanager
def trackers(
    settings: LoggerSettings, record: Record, run_directory: Path, *, is_first: bool = True
) -> Iterator[list[Logger]]:
    """Yield Lightning loggers; on the way out the record's figures go into the W&B summary and the run is finished.
    Of several processes the first alone has them."""
    if settings.wandb == "disabled" or not is_first:
        yield []
        return
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    try:
        run = wandb.init(
            project=settings.wandb_project,
            group=record.experiment,
            job_type=record.strategy,
            name=f"{record.strategy} seed={record.seed}",
            id=record.run_id,
            resume="allow",
            mode=settings.wandb,
            dir=str(run_directory),
            config={"config": record.config, "question_hash": record.question_hash, "code_hash": record.code_hash},
            tags=[record.strategy],
        )
    except wandb.Error as error:
        raise UserError(f"logger.wandb={settings.wandb}: W&B began no run: {explain(error)}") from error
    exit_code = 1
    try:
        run.define_metric("epoch")
        run.define_metric("val/*", step_metric="epoch")
        yield [WandbLogger(experiment=run, save_dir=str(run_directory))]
        exit_code = 0 if record.is_over else 1
    finally:
        run.summary.update(summary(record))
        run.finish(exit_code=exit_code)


def summary(record: Record) -> dict[str, float | int | str | None]:
    """Return the record's figures under W&B's flat names: `test/hr@10`, `efficiency/seconds_per_epoch`."""
    figures: dict[str, float | int | str | None] = {"status": record.status}
    if record.parameters is not None:
        figures["efficiency/trainable_parameters"] = record.parameters.trainable
    if record.efficiency is not None:
        measured = record.efficiency.model_dump(exclude={"exact_bytes", "is_isolated"})
        figures |= {f"efficiency/{name}": value for name, value in measured.items()}
    if record.evaluation is not None:
        figures |= {f"test/{name}": value for name, value in record.evaluation.test.items()}
    return figures
