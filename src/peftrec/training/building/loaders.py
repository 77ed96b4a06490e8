"""What a run iterates over: training batches in their order, and the users to rank for validation."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader

from peftrec.data.batches import SequenceBatch
from peftrec.data.competing import Competition
from peftrec.data.loading import EpochOrder, TrainingBatches, training_loader
from peftrec.data.negatives import negatives_per_positive
from peftrec.data.split import Split
from peftrec.evaluation.ranking import users_per_block
from peftrec.settings.run import EvaluationSettings, Settings
from peftrec.training.module import RecommenderModule
from peftrec.training.ranking_loader import RankingBatch, ranking_loader


@dataclass(frozen=True, kw_only=True)
class Loaders:
    """Batches of this process."""

    training: DataLoader[SequenceBatch]
    validation: DataLoader[RankingBatch]
    negatives_per_positive: float
    competitors: str
    """What a position competes with, in words."""


def build_loaders(settings: Settings, split: Split, module: RecommenderModule, device: torch.device) -> Loaders:
    """Build the loaders of a module's process; the order of users is a function of (seed, epoch)."""
    trainer, processes = settings.trainer, module.processes
    order, competition = epoch_order(settings, split), competition_of(settings, split)
    length = split.sequence_length + 1  # the last place is a target only
    gathers = trainer.negatives == "gathered"
    dataset = TrainingBatches(
        split.windows,
        module.content,
        length=length,
        processes=processes,
        gathers_negatives=gathers,
        competition=competition,
        reads_times=settings.user_encoder.reads_times,
    )
    return Loaders(
        training=training_loader(dataset, order, num_workers=trainer.num_workers, pins_memory=device.type == "cuda"),
        validation=ranking_loader(
            split.validation,
            sequence_length=split.sequence_length,
            block=evaluation_block(settings.evaluation, len(split.items)),
            processes=processes,
            reads_times=settings.user_encoder.reads_times,
        ),
        negatives_per_positive=mean_negatives(settings, split, processes.count),
        competitors=competition.describe(),
    )


def mean_negatives(settings: Settings, split: Split, num_processes: int) -> float:
    """Return how many items a training position is scored against besides those of its own window."""
    return negatives_per_positive(
        split.windows,
        epoch_order(settings, split),
        length=split.sequence_length + 1,
        num_pools=1 if settings.trainer.negatives == "gathered" else num_processes,
        competition=competition_of(settings, split),
    )


def epoch_order(settings: Settings, split: Split) -> EpochOrder:
    """Return the batches of an epoch."""
    return EpochOrder(
        len(split.windows),
        batch_size=settings.batch_size,
        seed=settings.seed,
        max_batches=settings.trainer.max_steps_per_epoch,
        overfit_batches=settings.trainer.overfit_batches,
    )


def competition_of(settings: Settings, split: Split) -> Competition:
    """Return what the objective has put beside a batch."""
    return Competition(
        competitors=settings.objective.competitors(), train_counts=split.train_counts, seed=settings.seed
    )


def evaluation_block(evaluation: EvaluationSettings, num_candidates: int) -> int:
    """Return how many users are ranked at once."""
    return int(np.clip(users_per_block(num_candidates, evaluation.max_score_bytes), 1, 4096))
