"""Gathering is indexing, with each state of the batch in one piece."""

from pathlib import Path

import numpy as np
import pytest
import torch

from peftrec.hidden_states.arrays import ArrayRows
from peftrec.hidden_states.rows import RowsInMemory, RowsOnDisk, gather

STATES = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))


def rows_on_disk(folder: Path, dtype: torch.dtype) -> RowsOnDisk:
    np.save(folder / "states.npy", STATES.to(dtype).numpy())
    return RowsOnDisk(ArrayRows.for_reading(folder / "states.npy"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("items", [[0], [5, 5, 1], [3, 0, 4, 1, 2], []])
def test_gathering_equals_indexing(tmp_path: Path, items: list[int], dtype: torch.dtype) -> None:
    disk = rows_on_disk(tmp_path, dtype)
    places: list[RowsInMemory | RowsOnDisk] = [RowsInMemory(STATES.to(dtype)), disk, disk.load()]
    for rows in places:
        found = rows.gather(torch.tensor(items, dtype=torch.long))
        assert found.dtype == dtype
        assert torch.equal(found, STATES.to(dtype)[items])
        assert all(found[:, state].is_contiguous() for state in range(3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gathering_on_a_device_is_one_kernel() -> None:
    states, items = STATES.cuda(), torch.tensor([3, 0, 4], device="cuda")
    gather(states, items)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        found = gather(states, items)
    assert torch.equal(found.cpu(), STATES[[3, 0, 4]])
    assert all(found[:, state].is_contiguous() for state in range(3))
    kernels = [event for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    assert len(kernels) == 1
