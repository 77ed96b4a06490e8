"""Training batches: users in an order drawn from (seed, epoch), items distinct."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from peftrec.data.batches import SequenceBatch
from peftrec.data.content import ItemContent
from peftrec.data.interactions import Interactions


def pad_left(
    sequences: Interactions, rows: npt.NDArray[np.integer], length: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return the last `length` items of the sequences `rows` as [row, length], padded on the left, and the mask."""
    ends = sequences.offsets[rows + 1]
    starts = np.maximum(sequences.offsets[rows], ends - length)
    places = ends[:, None] - length + np.arange(length)
    mask = places >= starts[:, None]
    return sequences.items[np.where(mask, places, 0)], mask


class TrainingBatches(Dataset[SequenceBatch]):
    """Collates window indices to a batch, so that a worker does it whole."""

    def __init__(self, windows: Interactions, content: ItemContent, *, length: int) -> None:
        self.windows = windows
        self.content = content
        self.length = length

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> SequenceBatch:
        items, mask = pad_left(self.windows, rows, self.length)
        distinct, inverse = np.unique(items[mask], return_inverse=True)
        sequences = np.zeros(items.shape, dtype=np.int64)
        sequences[mask] = inverse
        return SequenceBatch(
            items=self.content.batch(distinct),
            sequences=torch.from_numpy(sequences),
            mask=torch.from_numpy(mask),
        )


class EpochOrder(Sampler[npt.NDArray[np.int64]]):
    """Batches of window indices; the order is a function of (seed, epoch), so a resumed run sees the same one.

    `max_batches` ends every epoch early; `overfit_batches` repeats the first batches of one epoch for ever.
    """

    def __init__(
        self,
        num_windows: int,
        *,
        batch_size: int,
        seed: int,
        max_batches: int | None = None,
        overfit_batches: int | None = None,
    ) -> None:
        self.num_windows = num_windows
        self.batch_size = batch_size
        self.seed = seed
        self.repeats_one_epoch = overfit_batches is not None
        self.epoch = 0
        limits = (math.ceil(num_windows / batch_size), max_batches, overfit_batches)
        self.num_batches = min(limit for limit in limits if limit is not None)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[npt.NDArray[np.int64]]:
        epoch = 0 if self.repeats_one_epoch else self.epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(self.num_windows)
        for batch in range(self.num_batches):
            yield order[batch * self.batch_size : (batch + 1) * self.batch_size]


def training_loader(dataset: TrainingBatches, order: EpochOrder, *, num_workers: int) -> DataLoader[SequenceBatch]:
    """Return the loader: batches come whole from `dataset`, so torch collates nothing."""
    return DataLoader(
        dataset,
        sampler=order,
        batch_size=None,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        generator=torch.Generator(),  # of its own: a worker's base seed must not advance the training's generator
    )
