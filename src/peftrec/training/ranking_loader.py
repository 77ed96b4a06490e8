"""Evaluation batches: histories, targets, and what each user has seen."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from peftrec.data.loading import padded_sequences
from peftrec.data.split import RankingCases
from peftrec.evaluation.ranking import Histories
from peftrec.processes import ALONE, ProcessRank


@dataclass(frozen=True, kw_only=True)
class RankingBatch:
    """A block of users to rank for."""

    users: Int[Tensor, " user"]
    """Row of each user among the cases."""
    sequences: Int[Tensor, "user step"]
    """Candidates that the user encoder reads, padded on the left with 0 where `mask` is false."""
    mask: Bool[Tensor, "user step"]
    times: Shaped[Tensor, "user step"] | None
    """When each item was taken; null where the user encoder does not read it."""
    targets: Int[Tensor, " user"]
    seen: Histories

    def to(self, device: torch.device) -> "RankingBatch":
        """Copy to a device."""
        return replace(
            self,
            users=self.users.to(device),
            sequences=self.sequences.to(device),
            mask=self.mask.to(device),
            times=None if self.times is None else self.times.to(device),
            targets=self.targets.to(device),
            seen=self.seen.to(device),
        )


class RankingBlocks(Dataset[RankingBatch]):
    """All users of a set of cases, in order, a block at a time."""

    def __init__(self, cases: RankingCases, *, sequence_length: int, block: int, reads_times: bool = False) -> None:
        self.cases = cases
        self.sequence_length = sequence_length
        self.block = block
        self.reads_times = reads_times

    def __len__(self) -> int:
        return math.ceil(len(self.cases) / self.block)

    def __getitem__(self, index: int) -> RankingBatch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        histories = self.cases.histories
        start = index * self.block
        rows = np.arange(start, min(start + self.block, len(self.cases)))
        read = padded_sequences(histories, rows, self.sequence_length, reads_times=self.reads_times)
        offsets = histories.offsets[start : rows[-1] + 2]
        return RankingBatch(
            users=torch.from_numpy(rows),
            sequences=read.items,
            mask=read.mask,
            times=read.times,
            targets=torch.from_numpy(self.cases.targets[rows].astype(np.int64)),
            seen=Histories.from_flat(histories.items[offsets[0] : offsets[-1]], offsets - offsets[0]),
        )


def ranking_loader(
    cases: RankingCases,
    *,
    sequence_length: int,
    block: int,
    processes: ProcessRank = ALONE,
    reads_times: bool = False,
) -> DataLoader[RankingBatch]:
    """Return a loader over all users, or over this process's blocks of them; batches come whole, without workers
    (they only slice arrays).

    Where there are fewer blocks than processes, some rank the first block as well: none may have nothing to do, and
    RankCollector counts a user once.
    """
    blocks = RankingBlocks(cases, sequence_length=sequence_length, block=block, reads_times=reads_times)
    own = range(processes.rank, len(blocks), processes.count)
    return DataLoader(blocks, sampler=own or range(1), batch_size=None)
