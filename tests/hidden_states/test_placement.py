"""States go to the fastest memory that they leave half of free; reading gives the same numbers everywhere."""

from pathlib import Path

import pytest
import torch

from peftrec.data.batches import ItemBatch
from peftrec.errors import StoreError
from peftrec.hidden_states import placement
from peftrec.hidden_states.placement import choose_placement
from peftrec.hidden_states.store import HiddenStateStore
from peftrec.models.towers.stored_precision import StoredPrecision, restore
from small_stores import NUM_ITEMS, build, key_of

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def _rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with 100 bytes free in a host with 1000."""
    monkeypatch.setattr(placement, "free_device_memory", lambda device: 100 if device.type == "cuda" else 1000)
    monkeypatch.setattr(placement, "free_host_memory", lambda: 1000)


@pytest.mark.usefixtures("_rooms")
@pytest.mark.parametrize(
    ("device", "num_bytes", "sharing", "expected"),
    [
        (CUDA, 50, 1, "device"),
        (CUDA, 51, 1, "host"),
        (CUDA, 500, 1, "host"),
        (CUDA, 501, 1, "disk"),
        (CUDA, 50, 8, "device"),
        (CUDA, 62, 8, "host"),
        (CUDA, 63, 8, "disk"),
        (CPU, 500, 1, "host"),
        (CPU, 501, 1, "disk"),
        (CPU, 251, 2, "disk"),
    ],
)
def test_auto_takes_the_fastest_memory_that_has_room(
    device: torch.device, num_bytes: int, sharing: int, expected: str
) -> None:
    assert choose_placement("auto", num_bytes, device, sharing=sharing) == expected


@pytest.mark.usefixtures("_rooms")
def test_a_chosen_memory_is_taken_to_the_last_byte_and_refused_beyond() -> None:
    assert choose_placement("device", 100, CUDA) == "device"
    assert choose_placement("disk", 10**15, CUDA) == "disk"
    for choice in ("device", "host"):
        with pytest.raises(StoreError, match=rf"placement={choice}: the states need 1,001 .*placement=auto"):
            choose_placement(choice, 1001, CUDA)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["float32", "float16", "bfloat16", "int8"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HiddenStateStore:
    return build(tmp_path_factory.mktemp("stores"), key_of(request.param))


@pytest.mark.parametrize("choice", ["auto", "device", "host", "disk"])
def test_every_place_gives_the_same_numbers(store: HiddenStateStore, choice: str) -> None:
    placed = store.placed(choice, CPU)  # type: ignore[arg-type]
    assert placed.placement == ("host" if choice == "auto" else choice)
    assert not placed.is_read_by_loader
    for items in ([4], [7, 2, 7, 0, 22, 2], list(range(NUM_ITEMS))[::-1]):
        for name, states in placed.read(torch.tensor(items)).items():
            assert states.dtype == torch.float32
            assert torch.equal(states, store.read(torch.tensor(items))[name])
            assert all(states[:, state].is_contiguous() for state in range(states.shape[1]))


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_what_lies_on_the_host_is_read_by_the_loader_of_a_device(tmp_path: Path, dtype: StoredPrecision) -> None:
    store = build(tmp_path, key_of(dtype)).placed("host", torch.device("meta"))
    assert store.is_read_by_loader
    items = torch.tensor([3, 9, 1])
    batch = store.batch(items.numpy())
    read = store.placed("disk", CPU).read(items)
    for name in ("image", "text"):
        carried = batch[name]
        assert carried.dtype == getattr(torch, dtype)
        assert torch.equal(restore(carried), read[name])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("choice", ["auto", "device", "host", "disk"])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_every_place_gives_the_same_numbers_on_a_device(tmp_path: Path, choice: str, dtype: StoredPrecision) -> None:
    store = build(tmp_path, key_of(dtype))
    placed = store.placed(choice, CUDA)  # type: ignore[arg-type]
    items = torch.tensor([7, 2, 7, 0, 22])
    for asked in (items, items.cuda()):
        for name, states in placed.read(asked).items():
            assert states.device == CUDA
            assert torch.equal(states.cpu(), store.read(items)[name])
            assert all(states[:, state].is_contiguous() for state in range(states.shape[1]))
    batch = (
        ItemBatch(items=items, states=placed.batch(items.numpy())).pin_memory().to(CUDA)
        if placed.is_read_by_loader
        else None
    )
    assert (batch is None) == (placed.placement == "device")
    if batch is not None:
        assert batch.states is not None
        assert torch.equal(batch.states["text"].cpu(), store.read(items)["text"])  # type: ignore[union-attr]
