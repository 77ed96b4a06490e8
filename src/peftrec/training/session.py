"""A run from settings to record, and the evaluation of a finished one."""

import errno
import itertools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar
from lightning.pytorch.loggers import Logger
from transformers.utils import logging as transformers_logging

from peftrec.data.loading import EpochOrder, TrainingBatches, training_loader
from peftrec.data.split import Split
from peftrec.errors import CheckpointError, RecordError, UserError
from peftrec.files import remove_abandoned
from peftrec.results.record import Evaluation, Record, Status, read_record
from peftrec.settings import Settings, settings_from_config
from peftrec.terminal import shows_progress
from peftrec.training.assembly import Assembled, assemble, evaluation_block, prepare_data, resolve_device
from peftrec.training.checkpoint import (
    BEST,
    LAST,
    AtomicCheckpointIO,
    checkpoint_bytes,
    checkpoint_path,
    epochs_to_train,
    keep_best,
    keep_last,
)
from peftrec.training.efficiency import EfficiencyMeter, TimedLoader
from peftrec.training.endings import status_of
from peftrec.training.module import RecommenderModule
from peftrec.training.provenance import identify
from peftrec.training.ranking_loader import ranking_loader
from peftrec.training.run_record import RecordKeeper, begin_record, describe_parameters, end_record, write_ranks
from peftrec.training.scoring import evaluate_test
from peftrec.training.trackers import trackers

_runs_of_this_process = itertools.count()
_UNWRITABLE = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.ENOTDIR}


@dataclass(frozen=True)
class RunOutcome:
    """Where a run's record lies and how the run ended."""

    run_directory: Path
    status: Status


def train_run(settings: Settings) -> RunOutcome:
    """Train and evaluate one configuration; a finished run is not run again, an unfinished one resumes.

    Whatever ends the run early is recorded and raised again.
    """
    _quieten_libraries()
    split = prepare_data(settings)
    device = resolve_device(settings.trainer.accelerator)
    identity = identify(settings, split, device)
    run_directory = settings.experiment_directory / identity.run_id
    with _explaining_unwritable(run_directory):
        for folder in (run_directory, checkpoint_path(run_directory, BEST).parent):
            remove_abandoned(folder)
        record = begin_record(settings, split, identity, run_directory)
        if record.status == "success":
            return RunOutcome(run_directory, "success")
        with _recording_failure(record, run_directory):
            _run(settings, split, device, record, run_directory)
    return RunOutcome(run_directory, record.status)


def evaluate_run(run_directory: Path) -> Evaluation:
    """Score a finished run's checkpoint again, from the run's own recorded config.

    Raises RecordError where the data is no longer what the run saw, CheckpointError where the checkpoint is missing or
    another configuration's.
    """
    _quieten_libraries()
    record = read_record(run_directory)
    settings = settings_from_config(record.config)
    split = prepare_data(settings)
    device = resolve_device(settings.trainer.accelerator)
    identity = identify(settings, split, device)
    for name in ("data_hash", "content_hashes", "tower_revisions"):
        if getattr(identity.provenance, name) != getattr(record.provenance, name):
            raise RecordError(f"{run_directory}: {name} differs from the recorded one; data or towers were changed")
    module = assemble(settings, split, device).module.to(device)
    load_best(module, run_directory)
    validation = record.evaluation.validation if record.evaluation else {}
    return evaluate_test(module, settings, split, validation=validation)[0]


def load_best(module: RecommenderModule, run_directory: Path) -> int:
    """Load the chosen checkpoint and return its epoch. Raises CheckpointError."""
    path = checkpoint_path(run_directory, BEST)
    if not path.exists():
        raise CheckpointError(f"{path}: missing; finish the run with the command that started it")
    checkpoint = AtomicCheckpointIO().load_checkpoint(path)
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return int(checkpoint["epoch"])


def _run(settings: Settings, split: Split, device: torch.device, record: Record, run_directory: Path) -> None:
    is_first = next(_runs_of_this_process) == 0
    assembled = assemble(settings, split, device)
    record.parameters = describe_parameters(assembled.module, dict(assembled.module.schedule.learning_rates))
    with trackers(settings.logger, record, run_directory) as loggers:
        meter = _fit(settings, split, assembled, record, run_directory, loggers)
        module = assembled.module.to(device)
        record.chosen_epoch = load_best(module, run_directory)
        record.epochs = meter.history()
        record.checkpoint_bytes = checkpoint_bytes(run_directory)
        store = assembled.store
        record.efficiency = meter.efficiency(
            chosen_epoch=record.chosen_epoch,
            store_seconds=None if store is None else store.manifest.build_seconds,
            store_bytes=None if store is None else store.num_bytes,
            is_isolated=is_first,
        )
        validation = record.epochs[record.chosen_epoch].validation
        record.evaluation, ranked = evaluate_test(module, settings, split, validation=validation)
        write_ranks(ranked, split, run_directory)
        end_record(record, run_directory, "success")


def _fit(
    settings: Settings,
    split: Split,
    assembled: Assembled,
    record: Record,
    run_directory: Path,
    loggers: list[Logger],
) -> EfficiencyMeter:
    order = EpochOrder(
        len(split.windows),
        batch_size=settings.batch_size,
        seed=settings.seed,
        max_batches=settings.trainer.max_steps_per_epoch,
        overfit_batches=settings.trainer.overfit_batches,
    )
    dataset = TrainingBatches(split.windows, assembled.module.content, length=split.sequence_length + 1)
    loader = TimedLoader(training_loader(dataset, order, num_workers=settings.trainer.num_workers))
    meter = EfficiencyMeter(loader, resident_before_model=assembled.resident_before_model)
    keeper = RecordKeeper(record, run_directory, meter, writes_csv=settings.logger.csv)
    trainer = _trainer(settings, run_directory, [meter, keeper], loggers)
    last = checkpoint_path(run_directory, LAST)
    trainer.fit(
        assembled.module,
        train_dataloaders=loader,
        val_dataloaders=ranking_loader(
            split.validation, sequence_length=split.sequence_length, block=evaluation_block(settings, split)
        ),
        ckpt_path=str(last) if last.exists() else None,
        weights_only=True,
    )
    return meter


def _trainer(settings: Settings, run_directory: Path, measuring: list[Callback], loggers: list[Logger]) -> Trainer:
    shows = settings.trainer.has_progress_bar and shows_progress()
    stopping = EarlyStopping(
        monitor=f"val/{settings.evaluation.monitor}", mode="max", patience=settings.evaluation.patience
    )
    bars: list[Callback] = [RichProgressBar()] if shows else []
    return Trainer(
        accelerator=settings.trainer.accelerator,
        devices=1,
        precision=settings.trainer.precision,
        max_epochs=epochs_to_train(checkpoint_path(run_directory, LAST), settings.trainer.max_epochs),
        detect_anomaly=settings.trainer.detect_anomaly,
        deterministic=settings.trainer.is_deterministic,
        # The order of the callbacks is the order of their work: measure, record, decide, then save what all decided.
        callbacks=[
            *measuring,
            *bars,
            stopping,
            keep_best(run_directory, settings.evaluation.monitor),
            keep_last(run_directory),
        ],
        plugins=[AtomicCheckpointIO()],
        logger=loggers or False,
        log_every_n_steps=1,  # nothing is logged by step; the default of 50 only warns about short epochs
        default_root_dir=run_directory,
        enable_progress_bar=shows,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


@contextmanager
def _recording_failure(record: Record, run_directory: Path) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        end_record(record, run_directory, status_of(error), error)
        raise


@contextmanager
def _explaining_unwritable(run_directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise UserError(
            f"{error.filename or run_directory}: {error.strerror}; free space or set runs_dir=DIR to a folder that can "
            "be written, then give the same command again: finished runs are kept and this one resumes"
        ) from error


_NO_NEWS = (
    # Batches come whole from the dataset and are cheap; `trainer.num_workers` is the user's choice.
    ".*does not have many workers.*",
    # Frozen towers are in eval mode on purpose; `probe.check_modes` asserts which.
    r"Found \d+ module\(s\) in eval mode.*",
    # Resuming into a run's own checkpoint folder is what a run does.
    r"Checkpoint directory .* exists and is not empty.*",
    # Lightning 2.6's own call, deprecated by torch.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated.*",
)


def _quieten_libraries() -> None:
    """Leave only messages that a user can act on."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in _NO_NEWS:
        warnings.filterwarnings("ignore", message=message)
