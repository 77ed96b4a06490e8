"""A CPU's memory is what its allocator held: known allocations are seen, and nothing of a result changes."""

import gc
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from peftrec.data.batches import ItemBatch, SequenceBatch
from peftrec.training.measurement.allocations import AllocationLog, StepMemory

MEBI = 2**20


def floats(mebibytes: int) -> torch.Tensor:
    return torch.ones(mebibytes * MEBI // 4)


@pytest.fixture
def log() -> Iterator[AllocationLog]:
    log = AllocationLog()
    log.start()
    yield log
    log.stop()


def test_the_most_that_lived_at_once_is_seen_to_the_byte(log: AllocationLog) -> None:
    first = floats(3)
    del first
    second, third = floats(2), floats(4)
    del second
    assert log.drain() == 6 * MEBI
    assert log.live == 4 * MEBI
    del third
    assert log.drain() == 4 * MEBI, "a block that lived before the last look still counts"
    assert log.live == 0


def test_a_block_from_before_the_log_neither_counts_nor_ends(capfd: pytest.CaptureFixture[str]) -> None:
    before = floats(5)
    log = AllocationLog()
    log.start()
    kept = floats(1)
    del before
    assert log.stop() == 1 * MEBI
    assert log.live == kept.numel() * 4
    assert capfd.readouterr().err == "", "torch warns of each such block, on the terminal"


def test_a_stopped_log_can_be_stopped_again() -> None:
    log = AllocationLog()
    log.start()
    log.stop()
    assert log.stop() == log.live


def batch_of(num_items: int) -> SequenceBatch:
    return SequenceBatch(
        items=ItemBatch(items=torch.zeros(num_items, dtype=torch.int64)),
        sequences=torch.zeros(1, 1, dtype=torch.int64),
        mask=torch.ones(1, 1, dtype=torch.bool),
    )


def test_a_step_is_what_stood_before_its_batch_and_what_it_made() -> None:
    batches = [batch_of(MEBI // 8), batch_of(2 * MEBI // 8)]
    memory = StepMemory()
    memory.begin(standing=100 * MEBI)
    loaded = floats(50)  # the loader's, gone before the step
    del loaded
    for batch, made in zip(batches, (7, 3), strict=True):
        memory.before_step(batch)
        passing = floats(made)
        del passing
        memory.after_step()
    assert memory.end() == pytest.approx(108 * MEBI, abs=64)


def test_what_an_earlier_run_left_in_a_circle_makes_no_step_look_smaller() -> None:
    def run_that_leaves_a_circle() -> None:
        memory = StepMemory()
        memory.begin(standing=0)
        left: list[object] = [floats(5)]
        left.append(left)
        memory.end()

    run_that_leaves_a_circle()
    memory = StepMemory()
    memory.begin(standing=100 * MEBI)
    memory.before_step(batch_of(MEBI // 8))
    kept = floats(5)
    gc.collect()  # which may come in any step
    passing = floats(3)
    memory.after_step()
    assert memory.end() == pytest.approx(109 * MEBI, abs=64)
    del kept, passing


def test_gradients_of_the_last_step_count_until_they_are_dropped() -> None:
    layer = nn.Linear(1024, 1024, bias=False)  # 4 MiB
    memory = StepMemory()
    memory.begin(standing=4 * MEBI)
    peaks = []
    for _ in range(2):
        memory.before_step(batch_of(1))
        loss = layer(torch.ones(1, 1024)).sum()
        passing = floats(2)
        del passing
        layer.zero_grad(set_to_none=True)
        loss.backward()
        del loss
        memory.after_step()
        peaks.append(memory.peak)
    memory.end()
    assert peaks[0] == pytest.approx(8 * MEBI, abs=MEBI // 8), "weights and gradients"
    assert peaks[1] == pytest.approx(10 * MEBI, abs=MEBI // 8), "weights, gradients of the step before, and what passes"


def test_nothing_was_seen_without_a_step() -> None:
    memory = StepMemory()
    memory.begin(standing=1)
    assert memory.end() is None


def test_the_log_changes_no_bit() -> None:
    def trained() -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.5), nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(8, 16)).square().mean().backward()
            optimizer.step()
        return [parameter.detach() for parameter in model.parameters()]

    plain = trained()
    log = AllocationLog()
    log.start()
    watched = trained()
    log.stop()
    assert all(map(torch.equal, plain, watched))
