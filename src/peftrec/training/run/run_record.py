"""The record of a run while it goes on, put together from what each stage returns: begun, kept up to date, ended.

Every process of a run keeps one; the first alone writes.
"""

import csv
import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from peftrec.config.roles import Role
from peftrec.data.split import Split
from peftrec.errors import UserError
from peftrec.files import write_atomically, write_stream_atomically
from peftrec.hidden_states.store import HiddenStateStore
from peftrec.results.costs import Epoch, MachineUse
from peftrec.results.process import Process, this_process
from peftrec.results.record import (
    RANKS_FILE,
    RECORD_FILE,
    DataSummary,
    Evaluation,
    ParameterCounts,
    Record,
    Status,
    Stretch,
    write_record,
)
from peftrec.settings.run import Settings
from peftrec.training.checkpoint import checkpoint_bytes, remove_checkpoints
from peftrec.training.parameter_groups import ParameterRole, count_parameters, optimizer_groups
from peftrec.training.run.conditions import placement_of
from peftrec.training.run.earlier_runs import earlier_record
from peftrec.training.run.exit_status import status_of
from peftrec.training.run.fitting import Fitted
from peftrec.training.run.identity import Identity
from peftrec.training.run.scoring import UserRanks

EPOCHS_FILE = "epochs.csv"


class RunRecord:
    """One run's record and the files beside it."""

    def __init__(self, record: Record, folder: Path, earlier: Record | None, *, writes: bool, writes_csv: bool) -> None:
        """Keep `record`; `earlier` is what stood there before the run began or went on."""
        self.record = record
        self.folder = folder
        self.earlier = earlier
        self.writes = writes
        self.writes_csv = writes_csv

    def describe(
        self,
        parameters: ParameterCounts,
        *,
        negatives_per_positive: float,
        competitors: str,
        store: HiddenStateStore | None,
    ) -> None:
        """Note what was built, and where the store lies that it reads."""
        self.record.parameters = parameters
        self.record.store = None if store is None else store.manifest.key.folder_name()
        latest, placed = self.record.latest, placement_of(store)
        latest.conditions |= placed
        latest.condition_roles |= dict.fromkeys(placed, Role.COST.value)
        self.record.negatives_per_positive = negatives_per_positive
        self.record.competitors = competitors

    def start(self, first_epoch: int) -> None:
        """Note with which epoch this stretch begins; earlier stretches that trained nothing up to it are none."""
        *earlier, own = self.record.stretches
        own = own.model_copy(update={"first_epoch": first_epoch})
        self.record.stretches = [*(each for each in earlier if each.first_epoch < first_epoch), own]
        if self.writes and first_epoch:
            total = self.record.config["trainer"]["max_epochs"]  # type: ignore[index, call-overload]
            print(f"{self.folder}: resumes where it was: {first_epoch} of {total} epochs are done", file=sys.stderr)

    def after_epoch(self, epochs: list[Epoch]) -> None:
        """Write the epochs trained so far."""
        self.record.epochs = epochs
        if not self.writes:
            return
        write_record(self.record, self.folder)
        if self.writes_csv:
            write_atomically(self.folder / EPOCHS_FILE, epochs_csv(epochs).encode())

    def finish(self, fitted: Fitted, evaluation: Evaluation, ranked: UserRanks, split: Split) -> None:
        """Write what the run ended with."""
        self._end(fitted, "success")
        self.record.evaluation = evaluation
        if self.writes:
            write_ranks(ranked, split, self.folder)
            write_record(self.record, self.folder)

    def finish_trial(self, fitted: Fitted) -> None:
        """Write what a trial ended with, and remove its parameters: nobody asks a trial for recommendations."""
        self._end(fitted, "pruned" if fitted.was_stopped else "success")
        if self.writes:
            write_record(self.record, self.folder)
            remove_checkpoints(self.folder)

    def _end(self, fitted: Fitted, status: Status) -> None:
        record = self.record
        record.epochs, record.chosen_epoch = fitted.epochs, fitted.chosen_epoch
        record.efficiency = fitted.efficiency
        record.checkpoint_bytes = checkpoint_bytes(self.folder)
        record.status, record.error = status, None

    def fail(self, error: BaseException) -> None:
        """Write that the run failed, unless it was written already: of several processes the first to fail knows why,
        and the others only that they lost it."""
        written = earlier_record(self.folder)
        if written is None:
            return  # withdrawn by another process
        if written.status != "running":
            self.record.status, self.record.error = written.status, written.error
            return
        self.record.status, self.record.error = status_of(error), f"{type(error).__name__}: {error}"
        write_record(self.record, self.folder)

    def withdraw(self) -> None:
        """Undo the beginning: a configuration error is not a failed run."""
        if not self.writes:
            return
        if self.earlier is not None:
            write_record(self.earlier, self.folder)
            return
        (self.folder / RECORD_FILE).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def refuse_running(record: Record, run_directory: Path) -> None:
    """Raise UserError where another process runs it now."""
    if record.effective_status() == "running" and record.process != this_process():
        raise UserError(running_message(run_directory, record.process))


def running_message(run_directory: Path, process: Process | None) -> str:
    """Say which process runs it now, where that is known, and what to do."""
    holder = "another process" if process is None else f"process {process.process_id} on {process.host}"
    return (
        f"{run_directory}: {holder} runs this already; wait for it or stop it, then give the same command again (if it "
        f"died with its host, remove {run_directory / RECORD_FILE} first; the run still resumes)"
    )


def new_record(
    settings: Settings,
    identity: Identity,
    data: DataSummary,
    *,
    run_id: str,
    stretches: list[Stretch],
) -> Record:
    """Return the record of a run that begins, or goes on, now."""
    return Record(
        run_id=run_id,
        experiment=settings.name,
        strategy=settings.strategy_name,
        seed=settings.seed,
        status="running",
        process=this_process(),
        kind=identity.kind,
        config=identity.config,
        roles=dict(identity.roles),
        question_hash=identity.question_hash,
        code_hash=identity.code.digest,
        comparison_hash=identity.comparison_hash,
        provenance=identity.provenance,
        stretches=stretches,
        data=data,
    )


def describe_parameters(roles: list[ParameterRole], learning_rates: dict[str, float]) -> ParameterCounts:
    """Return the table of every parameter's role, of parameters that no step has moved yet."""
    by_origin = count_parameters(roles)
    groups = optimizer_groups(roles, learning_rates)
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
        role={role.name: f"{role.origin}/{role.group or 'frozen'}" for role in roles},
        user_encoder_start=_hash_of_values([role for role in roles if role.name.startswith("user_encoder.")]),
    )


def _hash_of_values(roles: list[ParameterRole]) -> str:
    digest = hashlib.sha256()
    for role in roles:
        digest.update(role.parameter.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def epochs_csv(epochs: list[Epoch]) -> str:
    """Return one row an epoch, the first being 1: losses, validation metrics (`val/hr@10`), seconds, what the machine
    did."""
    rows = []
    for epoch in epochs:
        row: dict[str, Any] = epoch.model_dump()
        validation = row.pop("validation")
        row["epoch"] += 1
        machine = row.pop("machine") or dict.fromkeys(MachineUse.model_fields)
        rows.append({**row, **machine, **{f"val/{name}": value for name, value in validation.items()}})
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
