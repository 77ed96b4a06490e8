"""Training itself: loaders, meter and Trainer, from an assembled model to its last epoch."""

import math
from pathlib import Path

from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader

from peftrec.data.batches import SequenceBatch
from peftrec.data.loading import EpochOrder, TrainingBatches, training_loader
from peftrec.data.negatives import negatives_per_positive
from peftrec.data.split import Split
from peftrec.devices import resolve_device
from peftrec.results.record import Record
from peftrec.settings.run import Settings
from peftrec.settings.run_identity import training_conditions
from peftrec.training.building.assembly import Assembled
from peftrec.training.checkpoint import LAST, checkpoint_path
from peftrec.training.measurement.efficiency import EfficiencyMeter, TimedLoader
from peftrec.training.module import RecommenderModule
from peftrec.training.ranking_loader import ranking_loader
from peftrec.training.run.exit_status import interruption
from peftrec.training.run.run_record import RecordKeeper
from peftrec.training.run.scoring import evaluation_block
from peftrec.training.trainer import build_trainer


def fit(
    settings: Settings,
    split: Split,
    assembled: Assembled,
    record: Record,
    run_directory: Path,
    loggers: list[Logger],
) -> EfficiencyMeter:
    """Train the assembled model to the end, or on from its last checkpoint; return what was measured."""
    module = assembled.module
    loader = TimedLoader(_training_loader(settings, split, module, record))
    if module.adaptation is not None:
        steps_an_epoch = math.ceil(len(loader) / settings.trainer.accumulate_batches)
        module.adaptation.begin(num_steps=settings.trainer.max_epochs * steps_an_epoch)
    meter = EfficiencyMeter(
        loader,
        conditions={"devices": record.provenance.devices, **training_conditions(record.config)},
        resident_before_model=assembled.resident_before_model,
    )
    keeper = RecordKeeper(record, run_directory, meter, writes_csv=settings.logger.csv)
    trainer = build_trainer(settings, run_directory, module.processes, measuring=[meter, keeper], loggers=loggers)
    last = checkpoint_path(run_directory, LAST)
    with interruption():
        trainer.fit(
            module,
            train_dataloaders=loader,
            val_dataloaders=ranking_loader(
                split.validation,
                sequence_length=split.sequence_length,
                block=evaluation_block(settings, split),
                processes=module.processes,
            ),
            ckpt_path=str(last) if last.exists() else None,
            weights_only=True,
        )
    return meter


def _training_loader(
    settings: Settings, split: Split, module: RecommenderModule, record: Record
) -> DataLoader[SequenceBatch]:
    order = EpochOrder(
        len(split.windows),
        batch_size=settings.batch_size,
        seed=settings.seed,
        max_batches=settings.trainer.max_steps_per_epoch,
        overfit_batches=settings.trainer.overfit_batches,
    )
    length = split.sequence_length + 1  # the last place is a target only
    gathers = settings.trainer.negatives == "gathered"
    record.negatives_per_positive = negatives_per_positive(
        split.windows, order, length=length, num_pools=1 if gathers else module.processes.count
    )
    dataset = TrainingBatches(
        split.windows, module.content, length=length, processes=module.processes, gathers_negatives=gathers
    )
    return training_loader(
        dataset,
        order,
        num_workers=settings.trainer.num_workers,
        pins_memory=resolve_device(settings.trainer.accelerator).type == "cuda",
    )
