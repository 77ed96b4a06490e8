"""Training batches: users in an order drawn from (seed, epoch), items distinct."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from peftrec.data.batches import GlobalBatch, SequenceBatch
from peftrec.data.competing import Competition
from peftrec.data.content import ItemContent
from peftrec.data.interactions import Interactions, Times
from peftrec.processes import ALONE, ProcessRank


def pad_left(
    sequences: Interactions, rows: npt.NDArray[np.integer], length: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return the last `length` items of the sequences `rows` as [row, length], padded on the left, and the mask."""
    places, mask = _last_places(sequences, rows, length)
    return sequences.items[places], mask


def padded_times(sequences: Interactions, rows: npt.NDArray[np.integer], length: int) -> Times | None:
    """Return when what `pad_left` returns was taken, 0 where nothing stands; None where the data does not know."""
    if sequences.times is None:
        return None
    places, mask = _last_places(sequences, rows, length)
    return np.where(mask, sequences.times[places], 0)


def _last_places(
    sequences: Interactions, rows: npt.NDArray[np.integer], length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    ends = sequences.offsets[rows + 1]
    starts = np.maximum(sequences.offsets[rows], ends - length)
    places = ends[:, None] - length + np.arange(length)
    mask = places >= starts[:, None]
    return np.where(mask, places, 0), mask


@dataclass(frozen=True, kw_only=True)
class PaddedSequences:
    """What a user encoder reads of some users: the last items of each, padded on the left with item 0."""

    items: Int[Tensor, "user step"]
    mask: Bool[Tensor, "user step"]
    """Where an item stands."""
    times: Shaped[Tensor, "user step"] | None
    """When, for an encoder that reads it."""

    def to(self, device: torch.device) -> "PaddedSequences":
        times = None if self.times is None else self.times.to(device)
        return PaddedSequences(items=self.items.to(device), mask=self.mask.to(device), times=times)


def padded_sequences(
    sequences: Interactions, rows: npt.NDArray[np.integer], length: int, *, reads_times: bool
) -> PaddedSequences:
    """Return the last `length` items of the sequences `rows`, with their times where those are read."""
    items, mask = pad_left(sequences, rows, length)
    times = padded_times(sequences, rows, length) if reads_times else None
    return PaddedSequences(
        items=torch.from_numpy(np.where(mask, items, 0).astype(np.int64)),
        mask=torch.from_numpy(mask),
        times=None if times is None else torch.from_numpy(times),
    )


class TrainingBatches(Dataset[SequenceBatch]):
    """Collates window indices to a batch, so that a worker does it whole.

    The indices are always those of the whole batch. Each of several processes keeps its part of the users and, where
    negatives are gathered, its part of the batch's distinct items; all of them know the batch, so nothing but
    embeddings has to travel between them.
    """

    def __init__(
        self,
        windows: Interactions,
        content: ItemContent,
        *,
        length: int,
        processes: ProcessRank = ALONE,
        gathers_negatives: bool = True,
        competition: Competition | None = None,
        reads_times: bool = False,
    ) -> None:
        """Collate windows of at most `length` items; `competition` is what is put beside them."""
        self.windows = windows
        self.content = content
        self.length = length
        self.processes = processes
        self.gathers_negatives = gathers_negatives
        self.competition = competition or Competition()
        self.reads_times = reads_times

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> SequenceBatch:
        items, mask = pad_left(self.windows, rows, self.length)
        times = padded_times(self.windows, rows, self.length) if self.reads_times else None
        batch = self._part(items, mask, rows) if self.processes.are_several else self._whole(items, mask, rows)
        if times is None:
            return batch
        return replace(batch, times=torch.from_numpy(times[self._own_users(len(rows))]))

    def _whole(
        self, items: npt.NDArray[np.int32], mask: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64]
    ) -> SequenceBatch:
        beside = self.competition.beside(rows)
        pool, sequences = distinct_items(items, mask, beside)
        return SequenceBatch(
            items=self.content.batch(pool),
            sequences=torch.from_numpy(sequences),
            mask=torch.from_numpy(mask),
            drawn=self._drawn(pool, beside),
            positions=_positions(mask),
        )

    def _drawn(self, pool: npt.NDArray[np.int32], beside: npt.NDArray[np.int32]) -> Tensor | None:
        return torch.from_numpy(np.isin(pool, beside)) if self.competition.draws else None

    def _own_users(self, num_users: int) -> slice:
        """Return the users that this process trains on; at least one, because it takes part in every exchange."""
        own = self.processes.share(num_users)
        return own if own.start < own.stop else slice(0, 1)

    def _part(
        self, items: npt.NDArray[np.int32], mask: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64]
    ) -> SequenceBatch:
        """Return this process's part. Without users of its own it takes the first one's at weight 0, and without
        items the first one: every process must take part in every exchange."""
        own = self.processes.share(len(items))
        num_valid = int(mask[:, :-1].sum())
        num_own = int(mask[own, :-1].sum())
        users = self._own_users(len(items))
        pooled = slice(None) if self.gathers_negatives else users
        beside = self.competition.beside(rows)
        pool, sequences = distinct_items(items[pooled], mask[pooled], beside)
        multiplicity = np.bincount(sequences[mask[pooled]], minlength=len(pool))
        encoded = self.processes.share(len(pool)) if self.gathers_negatives else slice(None)
        return SequenceBatch(
            items=self.content.batch(pool[encoded] if len(pool[encoded]) else pool[:1]),
            sequences=torch.from_numpy(sequences[users] if self.gathers_negatives else sequences),
            mask=torch.from_numpy(mask[users]),
            drawn=self._drawn(pool, beside),
            positions=_positions(mask[users]),
            whole=GlobalBatch(
                pool=torch.from_numpy(pool.astype(np.int64)),
                multiplicity=torch.from_numpy(multiplicity.astype(np.float32)),
                sizes=(
                    tuple(part.stop - part.start for part in self.processes.shares(len(pool)))
                    if self.gathers_negatives
                    else ()
                ),
                weight=self.processes.count * num_own / num_valid,
                num_users=len(items),
            ),
        )


def _positions(mask: npt.NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(np.flatnonzero(mask[:, :-1]))


def distinct_items(
    items: npt.NDArray[np.int32], mask: npt.NDArray[np.bool_], beside: npt.NDArray[np.int32] | None = None
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the items that stand where `mask` is true and those `beside` them, each once, and the row of each place
    among them."""
    standing = items[mask]
    everything = standing if beside is None or not len(beside) else np.concatenate([standing, beside])
    distinct, inverse = np.unique(everything, return_inverse=True)
    sequences = np.zeros(items.shape, dtype=np.int64)
    sequences[mask] = inverse[: len(standing)]
    return distinct, sequences


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


def training_loader(
    dataset: TrainingBatches, order: EpochOrder, *, num_workers: int, pins_memory: bool = False
) -> DataLoader[SequenceBatch]:
    """Return the loader: batches come whole from `dataset`, so torch collates nothing.

    Pinned batches are copied to CUDA without the host waiting for them.
    """
    return DataLoader(
        dataset,
        sampler=order,
        batch_size=None,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=pins_memory,
        generator=torch.Generator(),  # of its own: a worker's base seed must not advance the training's generator
    )
