"""Building, training and scoring as a run does, on small towers and batches."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from peftrec.data.batches import SequenceBatch, TextBatch, TokenBatch
from peftrec.data.content import ItemContent
from peftrec.models.recommender import Recommender
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.towers import StateReader, Towers
from peftrec.planning.batches import BatchShape
from peftrec.planning.step import StepPlanner
from peftrec.settings.run import LearningRates, Settings
from peftrec.strategies.base import Stored
from peftrec.testing.small_towers import item_batch, sequence_batch
from peftrec.towers.pair import TowerPair
from peftrec.training.building.assembly import build_module
from peftrec.training.building.item_side import load_trained_towers
from peftrec.training.module import RecommenderModule

NUM_ITEMS, DIM, LENGTH = 12, 16, 4
NUM_STEPS = 3
FAST = LearningRates(text=1e-2, image=1e-2, introduced=1e-2, recommender=1e-2)


class StatesOnce:
    """A store in memory: what frozen towers say of the batch's items, computed once."""

    def __init__(self, towers: Towers, stored: Stored, pair: TowerPair) -> None:
        self.scales: Mapping[TowerName, Tensor] = {}
        compute = towers.eval().states if stored.form == "pooled" else towers.token_states
        with torch.no_grad():
            self.states: Mapping[TowerName, Any] = compute(item_batch(NUM_ITEMS, pair), stored.layers)

    def read(self, items: Tensor) -> dict[TowerName, Any]:
        def chosen(states: Any) -> Any:
            return states.apply(chosen) if isinstance(states, TokenBatch) else states[items]

        return {name: chosen(states) for name, states in self.states.items()}


def small(settings: Settings, pair: TowerPair) -> Settings:
    """Return the run on small towers."""
    return replace(settings, towers=pair, embedding_dim=DIM, learning_rates=FAST, seed=1)


def build(settings: Settings, *, seed: int = 0) -> RecommenderModule:
    """Assemble what the settings describe as a run does; the towers are the same for every seed."""
    strategy, pair = settings.strategy, settings.towers
    towers = load_trained_towers(settings)
    states: StateReader | None = None
    if strategy.states == "store":
        states = StatesOnce(pair.load(seed=settings.seed), strategy.stored(towers.depths()), pair)
    module = build_module(
        replace(settings, seed=seed),
        towers,
        content=ItemContent(),
        log_popularity=torch.full((NUM_ITEMS,), -2.0),
        sequence_length=LENGTH,
        states=states,
    )
    module.set_training_modes()
    return module


def batch_of(settings: Settings, *, seed: int = 0) -> SequenceBatch:
    """Make a batch for the towers there are, with times where the user encoder reads them."""
    batch = sequence_batch(settings.towers, num_items=NUM_ITEMS, seed=seed)
    if settings.objective.competitors().kind == "sampled":
        batch = replace(batch, drawn=torch.arange(NUM_ITEMS) % 3 == 0)
    if not settings.user_encoder.reads_times:
        return batch
    times = 1_000_000_000 + 86_400 * torch.arange(batch.mask.shape[1]).expand(batch.mask.shape)
    return replace(batch, times=times * batch.mask)


def planned_operations(settings: Settings) -> int:
    """Count a step's operations on tensors without values, as `peftrec plan` does."""
    batch = batch_of(settings)
    assert batch.positions is not None
    texts = {
        name: content.mask.shape[1] for name, content in batch.items.contents.items() if isinstance(content, TextBatch)
    }
    planner = StepPlanner(settings, num_items=NUM_ITEMS, sequence_length=batch.mask.shape[1] - 1)
    shape = BatchShape(
        num_users=len(batch.mask),
        num_items=len(batch.items.items),
        title_tokens=texts,
        num_positions=len(batch.positions),
    )
    return planner.plan(shape).operations


def train(module: RecommenderModule, settings: Settings) -> None:
    """Take a few steps on different batches."""
    optimizer = module.configure_optimizers()
    for step in range(NUM_STEPS):
        torch.manual_seed(step)
        module.loss(batch_of(settings, seed=step)).backward()
        optimizer.step()
        optimizer.zero_grad()


@contextmanager
def evaluating(module: RecommenderModule) -> Iterator[Recommender]:
    """Put the model into evaluation mode, without gradients, and back into training's."""
    module.eval()
    try:
        with torch.no_grad():
            yield module.recommender
    finally:
        module.set_training_modes()


def score(module: RecommenderModule, settings: Settings) -> tuple[Tensor, Tensor]:
    """Return item embeddings and user states of a batch that is not trained on."""
    with evaluating(module) as recommender:
        embeddings, states = recommender(batch_of(settings, seed=9))
    return embeddings, states


def draws(function: Callable[..., object], *arguments: object) -> bool:
    """Say whether a call moves torch's random-number state."""
    before = torch.random.get_rng_state()
    function(*arguments)
    return not torch.equal(before, torch.random.get_rng_state())


def copies(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of the parameters, by name."""
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def moved(module: nn.Module, before: Mapping[str, Tensor]) -> set[str]:
    """Return the names of the parameters that are no longer what they were."""
    return {name for name, parameter in module.named_parameters() if not torch.equal(parameter, before[name])}


def trainable(module: nn.Module) -> set[str]:
    """Return the names of the parameters that are declared to train."""
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}
