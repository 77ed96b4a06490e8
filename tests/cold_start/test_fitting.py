"""Pairs of an epoch, the loss's pieces, and that a planted taste is found for ids that never trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from peftrec.cold_start.baselines import Popularity
from peftrec.cold_start.evaluation import evaluate
from peftrec.cold_start.factors import BPR, Factors
from peftrec.cold_start.fitting import HeaterMethod, HeaterModule, PairEpochs
from peftrec.cold_start.heater import Heater
from peftrec.cold_start.method import Task, Training
from peftrec.cold_start.pairs import ColdStartData, Side
from small_pairs import write_split

TRAINING = Training(epochs=6, batch_size=128, learning_rate=0.1)
METHOD = HeaterMethod(name="heater")


def task_of(data: ColdStartData, training: Training = TRAINING) -> Task:
    def factors() -> Factors:
        found = BPR(rank=8, epochs=15).fit(data.train, num_users=data.num_users, num_items=data.num_items, seed=1)
        return found.standardised(data.cold_side)

    return Task(data=data, training=training, factors=factors, seed=1)


@pytest.mark.parametrize("cold_side", ["items", "users"])
def test_an_epoch_is_all_pairs_and_their_negatives(tmp_path: Path, cold_side: Side) -> None:
    data = write_split(tmp_path, cold_side=cold_side).read()
    epochs = PairEpochs(data, Training(batch_size=100, negatives=3), replaced=0.5, seed=1)
    first, second = list(epochs), list(epochs)
    count = 4 * len(data.train)
    assert len(first) == len(epochs) == -(-count // 100)
    sizes = [len(batch.cold) for batch in first]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1
    assert [int(batch.is_replaced.sum()) for batch in first] == [size // 2 for size in sizes]
    cold, warm, target = (
        torch.cat([getattr(one, name) for one in first]).numpy() for name in ("cold", "warm", "target")
    )
    users, items = (cold, warm) if cold_side == "users" else (warm, cold)
    positive = target == 1
    taken = sorted(zip(data.train.users.tolist(), data.train.items.tolist(), strict=True))
    assert sorted(zip(users[positive].tolist(), items[positive].tolist(), strict=True)) == taken
    assert set(items[~positive]) <= set(data.train.items)
    np.testing.assert_array_equal(np.bincount(users[~positive]), 3 * np.bincount(data.train.users))
    assert not torch.equal(first[0].cold, second[0].cold)


def test_the_penalty_is_the_optimizers_decay(tmp_path: Path) -> None:
    """Two steps with momentum equal two steps on a loss that holds lambda sum |w|^2."""
    task = task_of(write_split(tmp_path).read(), replace(TRAINING, regularisation=0.01))
    modules = [module_of(task), module_of(task)]
    (decaying,), _ = modules[0].configure_optimizers()
    plain = torch.optim.SGD(modules[1].parameters(), lr=TRAINING.learning_rate, momentum=TRAINING.momentum)
    for batch in list(PairEpochs(task.data, task.training, replaced=0.5, seed=1))[:2]:
        penalty = 0.01 * sum(each.square().sum() for each in modules[1].model.penalised())
        for optimizer, loss in ((decaying, modules[0].loss(batch)), (plain, modules[1].loss(batch) + penalty)):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for one, other in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def module_of(task: Task, similarity_weight: float = 1e-3) -> HeaterModule:
    factors = task.factors()
    torch.manual_seed(0)
    model = Heater(
        cold_factors=factors.items, warm_factors=factors.users, content=task.data.content.to_dense(), num_experts=2
    )
    return HeaterModule(model, task, similarity_weight=similarity_weight)


def test_the_loss_is_its_two_terms(tmp_path: Path) -> None:
    task = task_of(write_split(tmp_path).read())
    module = module_of(task)
    batch = next(iter(PairEpochs(task.data, task.training, replaced=0.5, seed=1)))
    found = module.model(batch.cold, batch.warm, batch.is_replaced)
    expected = (found.scores - batch.target).square().mean() + 1e-3 * found.distance
    torch.testing.assert_close(module.loss(batch), expected)


@pytest.mark.parametrize("cold_side", ["items", "users"])
def test_a_planted_taste_is_found_without_history(tmp_path: Path, cold_side: Side) -> None:
    data = write_split(tmp_path, cold_side=cold_side).read()
    fitted = METHOD.fit(task_of(data))
    recalls = [sum(epoch.validation[f"recall@{k}"] for k in (20, 50, 100)) for epoch in fitted.epochs]
    assert fitted.chosen["epoch"] == int(np.argmax(recalls))
    candidates = data.candidates_of(data.validation)
    assert evaluate(fitted.scorer, data.validation, candidates) == fitted.epochs[fitted.chosen["epoch"]].validation
    popular = evaluate(Popularity(name="p").fit(task_of(data)).scorer, data.test, data.candidates_of(data.test))
    assert evaluate(fitted.scorer, data.test, data.candidates_of(data.test))["ndcg@20"] > popular["ndcg@20"] + 0.2


def test_the_seed_decides(tmp_path: Path) -> None:
    data = write_split(tmp_path).read()
    task = task_of(data, replace(TRAINING, epochs=2))
    first, again, other = (METHOD.fit(each) for each in (task, task, replace(task, seed=2)))
    assert first.epochs == again.epochs
    assert first.epochs != other.epochs
