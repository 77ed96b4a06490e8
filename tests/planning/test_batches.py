"""Sizes of batches: those that training draws, or those that numbers let expect."""

from pathlib import Path

import numpy as np
import pytest

from peftrec.data.interactions import Interactions
from peftrec.data.loading import EpochOrder, TrainingBatches
from peftrec.planning.batches import BatchShape, ExpectedWorkload, MeasuredWorkload
from peftrec.planning.request import DataSize
from peftrec.planning.workloads import read_workload
from peftrec.training.building.item_side import load_content
from peftrec.training.building.reading import prepare_data
from small_plans import settings_of


def test_sizes_are_those_of_the_batches_that_training_draws(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, batch_size=10)
    split = prepare_data(settings)
    order = EpochOrder(len(split.windows), batch_size=10, seed=settings.seed)
    batches = TrainingBatches(
        split.windows, load_content(settings.towers, split.items, keep_bytes=2**20), length=split.sequence_length + 1
    )
    drawn = [batches[rows] for rows in order]
    items = [len(batch.items.items) for batch in drawn]
    words = [batch.items.content("text").token_ids.shape[1] for batch in drawn]
    positions = [int(batch.mask[:, :-1].sum()) for batch in drawn]
    sizes = read_workload(settings).batches(settings)
    assert sizes.num_steps == len(drawn) == 7
    assert sizes.first == BatchShape(
        num_users=10, num_items=items[0], title_tokens={"text": words[0]}, num_positions=positions[0]
    )
    assert sizes.largest == BatchShape(
        num_users=10, num_items=max(items), title_tokens={"text": max(words)}, num_positions=max(positions)
    )
    assert sizes.mean.num_items == round(float(np.mean(items)))


def test_negatives_leave_out_the_users_own_items() -> None:
    """Windows 0 1 2 and 2 3 3: four distinct items; three are the first user's, two the second's."""
    workload = MeasuredWorkload(
        num_items=4,
        sequence_length=4,
        mean_tokens={"text": 2.0, "long": 3.0},
        origin="",
        windows=Interactions.from_lists(["a", "b"], [[0, 1, 2], [2, 3, 3]]),
        title_lengths={"text": np.array([1, 1, 1, 5]), "long": np.array([3, 3, 3, 3])},
        train_counts=np.array([1, 1, 2, 2]),
    )
    sizes = workload.batches(settings_of(Path("unused"), batch_size=2))
    assert sizes.negatives_per_positive == (2 * (4 - 3) + 2 * (4 - 2)) / 4
    assert sizes.first == BatchShape(num_users=2, num_items=4, title_tokens={"text": 5, "long": 3}, num_positions=4)


def expected(settings_windows: str = "last", **size: int) -> ExpectedWorkload:
    numbers = {"users": 1000, "items": 500, "interactions": 9000, **size}
    return ExpectedWorkload(
        num_items=numbers["items"],
        sequence_length=10,
        mean_tokens={"text": 30},
        origin="",
        size=DataSize(**numbers),
        windows=settings_windows,
    )


def test_expected_items_are_those_of_uniform_draws() -> None:
    sizes = expected().batches(settings_of(Path("unused"), batch_size=64))
    random = np.random.default_rng(0)
    drawn = np.mean([len(np.unique(random.integers(0, 500, 64 * 7))) for _ in range(2000)])
    assert sizes.first.num_items == pytest.approx(drawn, abs=1)
    assert sizes.first == sizes.mean == sizes.largest
    assert sizes.num_steps == 16
    assert sizes.negatives_per_positive == pytest.approx(drawn - 7, abs=1)


def test_uniform_popularity_bounds_the_items_of_a_real_batch(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    split = prepare_data(settings)
    size = {"users": len(split.test), "items": len(split.items), "interactions": split.num_interactions}
    bound = expected(**size).batches(settings).mean.num_items
    assert read_workload(settings).batches(settings).mean.num_items <= bound


@pytest.mark.parametrize(
    ("windows", "interactions", "number", "transitions"),
    [("last", 9000, 1, 6), ("last", 40_000, 1, 10), ("all", 9000, 1, 6), ("all", 43_000, 4, 10)],
)
def test_windows_cover_the_transitions_that_train(
    windows: str, interactions: int, number: int, transitions: int
) -> None:
    workload = expected(windows, interactions=interactions)
    assert workload.num_windows == 1000 * number
    assert workload._window[1] - 1 == pytest.approx(transitions)


def test_a_batch_is_never_larger_than_the_data() -> None:
    sizes = expected(users=5, interactions=45).batches(settings_of(Path("unused"), batch_size=64))
    assert (sizes.first.num_users, sizes.num_steps) == (5, 1)


@pytest.mark.parametrize("limit", ["max_steps_per_epoch", "overfit_batches"])
def test_a_shortened_epoch_is_planned_short(limit: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, trainer={limit: 2})
    assert read_workload(settings).batches(settings).num_steps == 2
    assert expected().batches(settings).num_steps == 2
