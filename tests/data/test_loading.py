"""Training batches: laws of order, padding and distinct items, with and without workers."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from peftrec.data.batches import SequenceBatch
from peftrec.data.content import ImageTransform, ItemContent, Pixels, TokenisedTitles
from peftrec.data.interactions import Interactions
from peftrec.data.loading import EpochOrder, TrainingBatches, pad_left, training_loader
from peftrec.data.synthetic.pictures import RenderedPictures
from peftrec.processes import ProcessRank

LENGTH = 6
NUM_ITEMS = 40


def random_windows(number: int, seed: int = 0) -> Interactions:
    random = np.random.default_rng(seed)
    windows = [random.integers(0, NUM_ITEMS, random.integers(2, LENGTH + 1)).tolist() for _ in range(number)]
    return Interactions.from_lists([f"user{window}" for window in range(number)], windows)


def some_content() -> ItemContent:
    random = np.random.default_rng(1)
    titles = [random.integers(1, 99, random.integers(1, 8)).tolist() for _ in range(NUM_ITEMS)]
    pictures = RenderedPictures(random.integers(0, 256, (NUM_ITEMS, 9, 7, 3), dtype=np.uint8))
    transform = ImageTransform(height=4, width=5, mean=(0.5,) * 3, std=(0.5,) * 3)
    return ItemContent(
        by_tower={
            "text": TokenisedTitles.from_lists(titles, padding_id=0),
            "image": Pixels(pictures, transform, keep_bytes=0),
        }
    )


def order_of(epoch: int, *, num_windows: int = 50, seed: int = 7, max_batches: int | None = None) -> list[list[int]]:
    order = EpochOrder(num_windows, batch_size=8, seed=seed, max_batches=max_batches)
    order.set_epoch(epoch)
    batches = [batch.tolist() for batch in order]
    assert len(batches) == len(order)
    return batches


def tensors(batch: SequenceBatch) -> Iterator[Tensor]:
    yield from (batch.sequences, batch.mask, batch.items.items)
    yield from batch.items.tensors()


@pytest.mark.parametrize("num_windows", [1, 8, 50])
def test_every_window_comes_once_an_epoch(num_windows: int) -> None:
    for epoch in range(3):
        batches = order_of(epoch, num_windows=num_windows)
        assert sorted(window for batch in batches for window in batch) == list(range(num_windows))
        assert all(len(batch) == 8 for batch in batches[:-1])


def test_order_is_a_function_of_seed_and_epoch() -> None:
    orders = [order_of(epoch, seed=seed) for seed in range(4) for epoch in range(4)]
    assert orders == [order_of(epoch, seed=seed) for seed in range(4) for epoch in range(4)]
    flat = {tuple(window for batch in batches for window in batch) for batches in orders}
    assert len(flat) == len(orders), "two epochs or two seeds share an order"


def test_order_does_not_depend_on_what_was_drawn_before() -> None:
    order = EpochOrder(50, batch_size=8, seed=7)
    for epoch in range(4):
        order.set_epoch(epoch)
        torch.rand(3)
        np.random.default_rng().random()
        assert [batch.tolist() for batch in order] == order_of(epoch)


@pytest.mark.parametrize("max_batches", [1, 3, 100])
def test_a_shortened_epoch_is_the_start_of_the_whole_one(max_batches: int) -> None:
    assert order_of(2, max_batches=max_batches) == order_of(2)[:max_batches]


@pytest.mark.parametrize("length", [1, 3, LENGTH, 9])
def test_padding_stands_on_the_left(length: int) -> None:
    windows = random_windows(30)
    rows = np.random.default_rng(1).permutation(30)[:11]
    items, mask = pad_left(windows, rows, length)
    assert items.shape == mask.shape == (11, length)
    for row, found, there in zip(rows, items, mask, strict=True):
        expected = windows[row][-length:]
        assert there.tolist() == [False] * (length - len(expected)) + [True] * len(expected)
        assert found[there].tolist() == expected.tolist()


def test_a_batch_holds_its_distinct_items_once_and_sequences_point_at_them() -> None:
    windows = random_windows(30)
    rows = np.array([4, 17, 2, 4])
    batch = TrainingBatches(windows, some_content(), length=LENGTH)[rows]
    items = batch.items.items
    assert items.tolist() == sorted({item for row in rows for item in windows[row].tolist()})
    for row, places, mask in zip(rows, batch.sequences, batch.mask, strict=True):
        assert items[places[mask]].tolist() == windows[row].tolist()
        assert (places[~mask] == 0).all()
    assert len(batch.items.content("text").token_ids) == len(batch.items.content("image").pixels) == len(items)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_give_the_batches_that_no_worker_gives() -> None:
    dataset = TrainingBatches(random_windows(40), some_content(), length=LENGTH)
    seen: list[list[list[Tensor]]] = []
    for num_workers in (0, 2):
        order = EpochOrder(40, batch_size=7, seed=3)
        loader = training_loader(dataset, order, num_workers=num_workers)
        seen.append([])
        for epoch in range(2):
            order.set_epoch(epoch)
            seen[-1] += [[tensor.clone() for tensor in tensors(batch)] for batch in loader]
    assert len(seen[0]) == len(seen[1]) == 12
    for alone, by_worker in zip(*seen, strict=True):
        for one, other in zip(alone, by_worker, strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)


def test_loading_leaves_the_trainings_random_state_alone() -> None:
    loader = training_loader(
        TrainingBatches(random_windows(20), ItemContent(), length=LENGTH),
        EpochOrder(20, batch_size=7, seed=3),
        num_workers=0,
    )
    before = torch.random.get_rng_state()
    assert len(list(loader)) == 3
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("gathers", [True, False])
@pytest.mark.parametrize(("count", "num_users"), [(2, 9), (3, 9), (4, 2), (2, 1)])
def test_parts_of_a_batch_make_the_whole(gathers: bool, count: int, num_users: int) -> None:
    windows, content = random_windows(30), some_content()
    rows = np.random.default_rng(1).permutation(30)[:num_users]
    whole = TrainingBatches(windows, content, length=LENGTH)[rows]
    parts = [
        TrainingBatches(
            windows, content, length=LENGTH, processes=ProcessRank(rank=rank, count=count), gathers_negatives=gathers
        )[rows]
        for rank in range(count)
    ]
    places = [part.whole for part in parts if part.whole is not None]
    assert len(places) == count
    assert {place.num_users for place in places} == {num_users}
    assert all(part.num_users == num_users for part in parts)
    with_users = [part for part, place in zip(parts, places, strict=True) if place.weight]
    assert len(with_users) == min(count, num_users)
    own = [place.pool[part.sequences] for part, place in zip(parts, places, strict=True) if place.weight]
    mask = torch.cat([part.mask for part in with_users])
    assert torch.equal(mask, whole.mask)
    assert torch.equal(torch.cat(own)[mask], whole.items.items[whole.sequences][mask])
    positions = [int(part.mask[:, :-1].sum()) for part in with_users]
    weights = [place.weight for place in places if place.weight]
    assert weights == pytest.approx([count * number / sum(positions) for number in positions])
    if not gathers:
        for part, place in zip(parts, places, strict=True):
            assert place.sizes == ()
            assert torch.equal(part.items.items, place.pool)
        return
    occurrences = torch.bincount(whole.sequences[whole.mask]).float()
    encoded = []
    for rank, (part, place) in enumerate(zip(parts, places, strict=True)):
        assert torch.equal(place.pool, whole.items.items)
        assert torch.equal(place.multiplicity, occurrences)
        assert len(part.items.items) == max(1, place.sizes[rank])
        encoded.append(part.items.items[: place.sizes[rank]])
    assert torch.equal(torch.cat(encoded), whole.items.items)


def test_pinning_and_moving_reach_every_tensor() -> None:
    batch = TrainingBatches(random_windows(9), some_content(), length=LENGTH, processes=ProcessRank(count=2))[
        np.arange(9)
    ]
    moved = batch.to(torch.device("meta"))
    assert moved.whole is not None
    assert batch.whole is not None
    found = [*tensors(moved), moved.whole.pool, moved.whole.multiplicity]
    assert {tensor.device.type for tensor in found} == {"meta"}
    assert moved.whole.sizes == batch.whole.sizes
