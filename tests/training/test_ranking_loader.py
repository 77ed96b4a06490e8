"""Blocks hold every user once, in order, with the end of the history to read and all of it to mask."""

import numpy as np
import pytest
import torch

from peftrec.data.interactions import Interactions
from peftrec.data.split import RankingCases
from peftrec.processes import ProcessRank
from peftrec.training.ranking_loader import RankingBatch, RankingBlocks, ranking_loader

USERS, LENGTH = 23, 4


def cases_of(users: int = USERS) -> RankingCases:
    random = np.random.default_rng(0)
    histories = [random.integers(0, 30, random.integers(1, 9)).tolist() for _ in range(users)]
    return RankingCases(
        histories=Interactions.from_lists([f"user{user}" for user in range(users)], histories),
        targets=random.integers(0, 30, users).astype(np.int32),
    )


def blocks_of(cases: RankingCases, block: int) -> list[RankingBatch]:
    return list(ranking_loader(cases, sequence_length=LENGTH, block=block))


@pytest.mark.parametrize("block", [1, 5, USERS, 100])
def test_every_user_comes_once_and_in_order(block: int) -> None:
    cases = cases_of()
    batches = blocks_of(cases, block)
    assert len(batches) == len(RankingBlocks(cases, sequence_length=LENGTH, block=block))
    assert torch.cat([batch.users for batch in batches]).tolist() == list(range(USERS))
    assert torch.cat([batch.targets for batch in batches]).tolist() == cases.targets.tolist()
    assert all(len(batch.users) == block for batch in batches[:-1])


@pytest.mark.parametrize("block", [1, 5, USERS])
def test_the_encoder_reads_the_end_and_the_mask_holds_everything(block: int) -> None:
    cases = cases_of()
    for batch in blocks_of(cases, block):
        for row, user in enumerate(batch.users.tolist()):
            history = cases.histories[user].tolist()
            there = batch.mask[row]
            assert batch.sequences[row][there].tolist() == history[-LENGTH:]
            assert there.tolist() == [False] * (LENGTH - int(there.sum())) + [True] * int(there.sum())
            assert not batch.sequences[row][~there].any()
            assert batch.seen.items[batch.seen.users == row].tolist() == history
        assert len(batch.seen.users) == sum(len(cases.histories[user]) for user in batch.users.tolist())


@pytest.mark.parametrize("count", [2, 3, 8])
def test_processes_share_the_blocks_and_none_has_nothing(count: int) -> None:
    cases = cases_of()
    parts = [
        list(ranking_loader(cases, sequence_length=LENGTH, block=5, processes=ProcessRank(rank=rank, count=count)))
        for rank in range(count)
    ]
    assert all(parts)
    whole = {tuple(batch.users.tolist()): batch for batch in blocks_of(cases, 5)}
    ranked = [tuple(batch.users.tolist()) for part in parts for batch in part]
    assert set(ranked) == set(whole), "the blocks are those that a process alone ranks"
    assert len(ranked) == max(count, len(whole))


def test_blocks_beyond_the_last_are_refused() -> None:
    blocks = RankingBlocks(cases_of(), sequence_length=LENGTH, block=5)
    assert len(blocks) == 5
    for index in (-1, 5):
        with pytest.raises(IndexError):
            blocks[index]


def test_moving_a_batch_moves_all_of_it() -> None:
    (batch,) = blocks_of(cases_of(), 100)
    moved = batch.to(torch.device("meta"))
    tensors = [moved.users, moved.sequences, moved.mask, moved.targets, moved.seen.users, moved.seen.items]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
