"""A run from settings to record, and the evaluation of a finished one."""

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch.loggers import Logger

from peftrec.data.split import Split
from peftrec.devices import resolve_device
from peftrec.errors import SettingsError, UserError
from peftrec.files import FULL, UNUSABLE, remove_abandoned
from peftrec.processes import Processes
from peftrec.progress.quiet import quieten_libraries
from peftrec.results.record import Evaluation, Record, Status
from peftrec.settings.run import Settings
from peftrec.training.building.assembly import assemble, prepare_data
from peftrec.training.checkpoint import BEST, checkpoint_bytes, checkpoint_path
from peftrec.training.collectives import first_then_others, from_first, joined, wait_for_all
from peftrec.training.determinism import fix_kernels
from peftrec.training.run.fitting import fit
from peftrec.training.run.provenance import Identity, identify
from peftrec.training.run.restored_run import load_best, restore_run
from peftrec.training.run.run_record import (
    begin_record,
    describe_parameters,
    earlier_record,
    end_record,
    explain_reuse,
    record_failure,
    withdraw_record,
    write_ranks,
)
from peftrec.training.run.scoring import evaluate_test
from peftrec.training.run.trackers import trackers
from peftrec.training.trainer import check_strategy, explain_slow_precision, with_precision

_runs_of_this_process = itertools.count()


@dataclass(frozen=True)
class RunOutcome:
    """Where a run's record lies and how the run ended."""

    run_directory: Path
    status: Status


def train_run(settings: Settings) -> RunOutcome:
    """Train and evaluate one configuration; a finished run is not run again, an unfinished one resumes.

    Where several processes train together, each of them calls this. Whatever ends the run early is recorded and
    raised again, but for a mistake of the configuration, which leaves no run.
    """
    quieten_libraries()
    check_strategy(settings.trainer.strategy)
    fix_kernels(is_deterministic=settings.trainer.is_deterministic)
    with joined(settings.trainer) as processes:
        # The check of all images is remembered on the disk, and hashing reads all that there is: once is enough.
        split = first_then_others(processes, partial(prepare_data, settings))
        device = resolve_device(settings.trainer.accelerator)
        settings = with_precision(settings, device)
        identity = from_first(processes, partial(identify, settings, split, device, processes))
        run_directory = settings.experiment_directory / identity.run_id
        with _explaining_unwritable(run_directory):
            earlier, record = from_first(processes, lambda: _begin(settings, split, identity, run_directory))
            if record.status == "success":
                if processes.is_first:
                    explain_reuse(record, identity.config, run_directory)
                return RunOutcome(run_directory, "success")
            if processes.is_first:
                explain_slow_precision(settings, device)
            with _recording_failure(record, run_directory, earlier, processes):
                _run(settings, split, device, record, run_directory, processes)
            wait_for_all(processes)
    return RunOutcome(run_directory, record.status)


def _begin(settings: Settings, split: Split, identity: Identity, run_directory: Path) -> tuple[Record | None, Record]:
    """Return what was recorded before, and the record from now on."""
    for folder in (run_directory, checkpoint_path(run_directory, BEST).parent):
        remove_abandoned(folder)
    earlier = earlier_record(run_directory)
    return earlier, begin_record(settings, split, identity, run_directory, earlier)


def evaluate_run(run_directory: Path) -> Evaluation:
    """Score a finished run's checkpoint again, from the run's own recorded config.

    Raises RecordError where the data is no longer what the run saw, CheckpointError where the checkpoint is missing or
    another configuration's.
    """
    quieten_libraries()
    run = restore_run(run_directory)
    validation = run.record.evaluation.validation if run.record.evaluation else {}
    return evaluate_test(run.module, run.settings, run.split, validation=validation)[0]


def _run(
    settings: Settings,
    split: Split,
    device: torch.device,
    record: Record,
    run_directory: Path,
    processes: Processes,
) -> None:
    is_first = next(_runs_of_this_process) == 0
    assembled = assemble(settings, split, device, processes)
    assembled.module.processes = processes
    record.parameters = describe_parameters(assembled.module, dict(assembled.module.schedule.learning_rates))
    with _first_ones_trackers(settings, record, run_directory, processes) as loggers:
        meter = fit(settings, split, assembled, record, run_directory, loggers)
        module = assembled.module.to(device)
        record.chosen_epoch = load_best(module, run_directory)
        record.epochs = meter.history()
        record.checkpoint_bytes = checkpoint_bytes(run_directory)
        record.efficiency = meter.efficiency(
            chosen_epoch=record.chosen_epoch,
            store=assembled.store,
            is_isolated=is_first,
        )
        validation = record.epochs[record.chosen_epoch].validation
        record.evaluation, ranked = evaluate_test(module, settings, split, validation=validation)
        record.status = "success"
        if processes.is_first:
            write_ranks(ranked, split, run_directory)
            end_record(record, run_directory, "success")


def _first_ones_trackers(
    settings: Settings, record: Record, run_directory: Path, processes: Processes
) -> AbstractContextManager[list[Logger]]:
    return trackers(settings.logger, record, run_directory) if processes.is_first else nullcontext([])


@contextmanager
def _recording_failure(
    record: Record, run_directory: Path, earlier: Record | None, processes: Processes
) -> Iterator[None]:
    try:
        yield
    except SettingsError:  # found while the model was built, by all processes alike
        if processes.is_first:
            withdraw_record(run_directory, earlier)
        raise
    except BaseException as error:
        record_failure(record, run_directory, error)
        raise


@contextmanager
def _explaining_unwritable(run_directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL | UNUSABLE:
            raise
        raise UserError(
            f"{error.filename or run_directory}: {error.strerror}; free space or set runs_dir=DIR to a folder that can "
            "be written, then give the same command again: finished runs are kept and this one resumes"
        ) from error
