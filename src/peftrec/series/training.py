"""The classifier trained once a seed, with Lightning.

The loop and the results are its own, and not those of a run: there are no users and no ranking, three rules
of choosing an epoch are read off every epoch's test accuracy, and a training of a minute needs no checkpoint.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from peftrec.code.fingerprint import take_fingerprint
from peftrec.code.user_code import sources
from peftrec.progress.epochs import EpochBar, EpochCount
from peftrec.progress.terminal import shows_progress
from peftrec.series.classifier import GTNClassifier
from peftrec.series.data import LabelledSeries, SeriesSplit
from peftrec.series.module import ClassifierModule
from peftrec.series.results import ClassificationResults, SeedOutcome, add_seed, read_results
from peftrec.series.settings import ClassifySettings

_PACKAGES = ("torch", "lightning", "numpy")
_TEST_BATCH = 256  # decides memory alone


def build_classifier(settings: ClassifySettings, split: SeriesSplit) -> GTNClassifier:
    """Return a classifier for the split's steps, channels and classes, with new weights."""
    _, num_steps, num_channels = split.training.values.shape
    return GTNClassifier(
        settings.recipe.towers, num_steps=num_steps, num_channels=num_channels, num_labels=len(split.classes)
    )


def describe(settings: ClassifySettings, split: SeriesSplit) -> ClassificationResults:
    """Return the results before any seed."""
    with torch.device("meta"):
        classifier = build_classifier(settings, split)
    num_training, num_steps, num_channels = split.training.values.shape
    code = take_fingerprint([__name__], _PACKAGES, sources())
    return ClassificationResults(
        dataset=settings.data.name,
        recipe=settings.recipe,
        data_hash=split.data_hash,
        modules=dict(code.modules),
        packages=dict(code.versions),
        num_parameters=sum(parameter.numel() for parameter in classifier.parameters()),
        sizes={
            "training": num_training,
            "test": len(split.test),
            "steps": num_steps,
            "channels": num_channels,
            "classes": len(split.classes),
        },
    )


def train_seeds(
    settings: ClassifySettings,
    split: SeriesSplit,
    empty: ClassificationResults,
    path: Path,
    report: Callable[[SeedOutcome], None],
) -> ClassificationResults:
    """Train the seeds that `path` does not hold, add each when it is finished, and return those asked for."""
    results = read_results(path, empty)
    for seed in settings.seeds:
        if results.of_seed(seed) is None:
            outcome = train_seed(settings, split, seed)
            results = add_seed(path, empty, outcome)
            report(outcome)
    return replace(results, seeds=tuple(each for each in results.seeds if each.seed in settings.seeds))


def train_seed(settings: ClassifySettings, split: SeriesSplit, seed: int) -> SeedOutcome:
    """Train once. Weights, order and dropout are functions of the seed."""
    started = time.perf_counter()
    torch.manual_seed(seed)
    module = ClassifierModule(build_classifier(settings, split), settings.recipe)
    has_bar = shows_progress()
    progress: Callback = EpochBar() if has_bar else EpochCount()
    trainer = Trainer(
        accelerator=settings.accelerator,
        devices=1,
        max_epochs=settings.recipe.max_epochs,
        deterministic=True,
        callbacks=[progress],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=has_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    training = loader(split.training, batch_size=settings.recipe.batch_size, order=torch.Generator().manual_seed(seed))
    trainer.fit(module, training, loader(split.test, batch_size=_TEST_BATCH))
    return SeedOutcome(seed=seed, seconds=time.perf_counter() - started, epochs=tuple(module.epochs))


def loader(
    part: LabelledSeries, *, batch_size: int, order: torch.Generator | None = None
) -> DataLoader[tuple[Tensor, ...]]:
    """Return batches of a part, in an order that `order` draws anew each epoch, or in its own."""
    rows = TensorDataset(part.values, part.labels)
    return DataLoader(rows, batch_size=batch_size, shuffle=order is not None, generator=order, collate_fn=_batch)


def _batch(rows: list[tuple[Tensor, Tensor]]) -> LabelledSeries:
    values, labels = zip(*rows, strict=True)
    return LabelledSeries(values=torch.stack(values), labels=torch.stack(labels))
