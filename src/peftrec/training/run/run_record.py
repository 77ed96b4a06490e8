"""The record and the files beside it while a run goes on: begun, kept up to date, ended."""

import csv
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightning import Callback, LightningModule, Trainer

from peftrec.data.split import Split
from peftrec.errors import UserError
from peftrec.files import write_atomically, write_stream_atomically
from peftrec.results.process import this_process
from peftrec.results.record import (
    RANKS_FILE,
    RECORD_FILE,
    Epoch,
    ParameterCounts,
    Record,
    Status,
    read_record,
    write_record,
)
from peftrec.settings.run import Settings
from peftrec.settings.run_identity import execution_differences
from peftrec.training.measurement.efficiency import EfficiencyMeter
from peftrec.training.module import RecommenderModule
from peftrec.training.parameter_groups import count_parameters, optimizer_groups
from peftrec.training.run.exit_status import status_of
from peftrec.training.run.provenance import Identity
from peftrec.training.run.scoring import UserRanks, summarise_data

EPOCHS_FILE = "epochs.csv"


def earlier_record(run_directory: Path) -> Record | None:
    """Return what was recorded of this run before."""
    return read_record(run_directory) if (run_directory / RECORD_FILE).exists() else None


def begin_record(
    settings: Settings, split: Split, identity: Identity, run_directory: Path, earlier: Record | None
) -> Record:
    """Return the record of this run: a finished one as it is, else one that says `running` and is written.

    Raises UserError where another process runs it now.
    """
    if earlier is not None:
        if earlier.status == "success":
            return earlier
        if earlier.effective_status() == "running" and earlier.process != this_process():
            raise UserError(
                f"{run_directory}: process {earlier.process.process_id} on {earlier.process.host} runs this already; "
                "wait for it or stop it, then give the same command again (if it died with its host, remove "
                f"{run_directory / RECORD_FILE} first; the run still resumes)"
            )
    record = Record(
        run_id=identity.run_id,
        experiment=settings.name,
        strategy=settings.strategy_name,
        seed=settings.seed,
        status="running",
        process=this_process(),
        config=identity.config,
        config_hash=identity.config_hash,
        comparison_hash=identity.comparison_hash,
        provenance=identity.provenance,
        data=summarise_data(split, settings),
    )
    write_record(record, run_directory)
    return record


def explain_reuse(record: Record, config: dict[str, Any], run_directory: Path) -> None:
    """Say that a run was finished already, and what its costs do not speak of."""
    differences = execution_differences(config, record.config)
    advice = (
        f"; it was not trained with {', '.join(differences)}: to measure that, set name=NAME" if differences else ""
    )
    print(f"finished already: {run_directory}{advice}", file=sys.stderr)


def describe_parameters(module: RecommenderModule, learning_rates: dict[str, float]) -> ParameterCounts:
    """Return the table of every parameter's fate."""
    by_origin = count_parameters(module.fates)
    groups = optimizer_groups(module.fates, learning_rates)  # type: ignore[arg-type]
    return ParameterCounts(
        trainable=sum(counts["trainable"] for counts in by_origin.values()),
        total=sum(counts["trainable"] + counts["frozen"] for counts in by_origin.values()),
        by_origin=by_origin,
        groups={
            str(group["name"]): {
                "learning_rate": float(group["lr"]),  # type: ignore[arg-type]
                "parameters": sum(parameter.numel() for parameter in group["params"]),  # type: ignore[attr-defined]
            }
            for group in groups
        },
        fate={fate.name: f"{fate.origin}/{fate.group or 'frozen'}" for fate in module.fates},
    )


class RecordKeeper(Callback):
    """Keeps the record up to date after every epoch, and in the first process writes it, and the epochs as CSV; listed
    after the meter whose history it copies."""

    def __init__(self, record: Record, run_directory: Path, meter: EfficiencyMeter, *, writes_csv: bool) -> None:
        self.record = record
        self.run_directory = run_directory
        self.meter = meter
        self.writes_csv = writes_csv

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and (done := trainer.current_epoch):
            told = f"{done} of {trainer.max_epochs} epochs are done"
            print(f"{self.run_directory}: resumes where it was: {told}", file=sys.stderr)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.record.epochs = self.meter.history()
        if not trainer.is_global_zero:
            return
        write_record(self.record, self.run_directory)
        if self.writes_csv:
            write_atomically(self.run_directory / EPOCHS_FILE, epochs_csv(self.record.epochs).encode())


def epochs_csv(epochs: list[Epoch]) -> str:
    """Return one row an epoch: losses, validation metrics (`val/hr@10`), seconds."""
    rows = []
    for epoch in epochs:
        row: dict[str, Any] = epoch.model_dump()
        validation = row.pop("validation")
        rows.append({**row, **{f"val/{name}": value for name, value in validation.items()}})
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def write_ranks(ranked: UserRanks, split: Split, run_directory: Path) -> None:
    """Write one row per test user, for paired tests between runs."""
    table = pd.DataFrame(
        {
            "user": split.test.histories.users,
            "rank": ranked.ranks,
            "is_cold": split.train_counts[split.test.targets] == 0,
            "is_unreachable": ranked.is_unreachable,
            "history_length": np.diff(split.test.histories.offsets),
        }
    )
    write_stream_atomically(run_directory / RANKS_FILE, lambda stream: table.to_parquet(stream, index=False))


def end_record(record: Record, run_directory: Path, status: Status, error: BaseException | None = None) -> None:
    """Write how the run ended."""
    record.status = status
    record.error = None if error is None else f"{type(error).__name__}: {error}"
    write_record(record, run_directory)


def record_failure(record: Record, run_directory: Path, error: BaseException) -> None:
    """Write that the run failed, unless it was written already: of several processes the first to fail knows why, and
    the others only that they lost it."""
    written = earlier_record(run_directory)
    if written is None:
        return  # withdrawn by another process
    if written.status == "running":
        end_record(record, run_directory, status_of(error), error)
    else:
        record.status, record.error = written.status, written.error


def withdraw_record(run_directory: Path, earlier: Record | None) -> None:
    """Leave of a run that could not begin what was there before: a mistake of the configuration is no result."""
    if earlier is not None:
        write_record(earlier, run_directory)
        return
    (run_directory / RECORD_FILE).unlink(missing_ok=True)
    if not any(run_directory.iterdir()):
        run_directory.rmdir()
