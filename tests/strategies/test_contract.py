"""Laws that every strategy keeps; strategies are found by their yaml, and no test knows one by name."""

import copy
from pathlib import Path

import pytest
import torch

from peftrec.data.content import ItemContent
from peftrec.errors import CheckpointError, SettingsError
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.models.objectives.debiased_cross_entropy import DebiasedCrossEntropyLoss
from peftrec.models.recommender import Recommender
from peftrec.models.towers.names import Modality
from peftrec.models.towers.tower import Towers
from peftrec.strategies.base import Strategy
from peftrec.towers.pair import TowerPair
from peftrec.training.measurement.first_step import probe_step
from peftrec.training.module import LoopSettings, RecommenderModule
from peftrec.training.parameter_groups import PretrainedSnapshot, parameter_roles
from peftrec.user_encoders.sasrec import SASRec
from small_models import SMALL_PAIRS, build_strategy, item_batch, sequence_batch, strategy_files

NUM_ITEMS, DIM = 12, 8


class StatesOnce:
    """A store in memory: what frozen towers say of the batch's items, computed once."""

    def __init__(self, towers: Towers, encoder: FrozenStatesEncoder, pair: TowerPair) -> None:
        with torch.no_grad():
            self.states = towers.eval().states(item_batch(NUM_ITEMS, pair), encoder.indices)

    def read(self, items: torch.Tensor) -> dict[Modality, torch.Tensor]:
        return {name: states[items] for name, states in self.states.items()}


def build_module(strategy: Strategy, pair: TowerPair, *, seed: int = 0) -> RecommenderModule:
    """Assemble a strategy as a run does, on small towers."""
    reads_store = strategy.states == "store"
    towers = pair.load(seed=1, with_weights=not reads_store) if strategy.reads_content else Towers()
    snapshot = PretrainedSnapshot.of(towers)
    torch.manual_seed(seed)
    encoder = strategy.adapt(towers, embedding_dim=DIM, num_items=NUM_ITEMS)
    if reads_store:
        assert isinstance(encoder, FrozenStatesEncoder)
        encoder.read_from(StatesOnce(pair.load(seed=1), encoder, pair))
    recommender = Recommender(encoder, SASRec(dropout=0.1).build(dim=DIM, sequence_length=4))
    module = RecommenderModule(
        recommender,
        DebiasedCrossEntropyLoss(),
        parameter_roles=parameter_roles(recommender, encoder, snapshot),
        content=ItemContent(),
        log_popularity=torch.full((NUM_ITEMS,), -2.0),
        loop=LoopSettings(
            learning_rates=dict.fromkeys(("text", "image", "introduced", "recommender"), 1e-2),
            mask_history="all",
            seed=0,
        ),
        towers_stay_frozen=strategy.keeps_towers_frozen,
    )
    module.set_training_modes()
    return module


def train(module: RecommenderModule, pair: TowerPair, *, num_steps: int = 3) -> None:
    """Take a few steps on different batches."""
    optimizer = module.configure_optimizers()
    for step in range(num_steps):
        torch.manual_seed(step)
        module.loss(sequence_batch(pair, num_items=NUM_ITEMS, seed=step)).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.fixture(params=strategy_files(), ids=lambda file: file.stem)
def strategy(request: pytest.FixtureRequest) -> Strategy:
    return build_strategy(request.param)


@pytest.fixture(params=SMALL_PAIRS, ids=str)
def pair(request: pytest.FixtureRequest) -> TowerPair:
    return SMALL_PAIRS[request.param]


def test_there_are_strategies_to_test() -> None:
    assert len(strategy_files()) >= 5


def test_embeds_each_item_of_a_batch(strategy: Strategy, pair: TowerPair) -> None:
    module = build_module(strategy, pair)
    embeddings, states = module.recommender(sequence_batch(pair, num_items=NUM_ITEMS))
    assert embeddings.shape == (NUM_ITEMS, DIM)
    assert states.shape == (6, 4, DIM)
    assert torch.isfinite(embeddings).all()


def test_what_moves_is_what_is_declared_trainable(strategy: Strategy, pair: TowerPair) -> None:
    """`moved subset of declared` would let a trainable tensor that never gets a gradient pass."""
    module = build_module(strategy, pair)
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    train(module, pair)
    moved = {name for name, parameter in module.named_parameters() if not torch.equal(parameter, before[name])}
    declared = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert moved == declared


def test_every_parameter_has_one_fate(strategy: Strategy, pair: TowerPair) -> None:
    module = build_module(strategy, pair)
    groups = module.configure_optimizers().param_groups
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    assert [role.name for role in module.parameter_roles] == [name for name, _ in module.recommender.named_parameters()]


def test_frozen_towers_have_no_trainable_parameter(strategy: Strategy, pair: TowerPair) -> None:
    if not strategy.keeps_towers_frozen:
        assert strategy.states == "live"
        return
    module = build_module(strategy, pair)
    assert not any(role.group for role in module.parameter_roles if role.origin == "pretrained")


def test_starts_at_the_pretrained_towers_where_declared(strategy: Strategy, pair: TowerPair) -> None:
    """Bit for bit where the strategy declares it, and only there."""
    batch = item_batch(NUM_ITEMS, pair)
    untouched = pair.load(seed=1)(batch)
    encoder = strategy.adapt(pair.load(seed=1), embedding_dim=DIM, num_items=NUM_ITEMS).eval()
    adapted = encoder.towers(batch)
    is_identity = bool(adapted) and all(torch.equal(vectors, untouched[name]) for name, vectors in adapted.items())
    assert is_identity == strategy.identity_at_start


def test_a_checkpoint_of_trainable_tensors_restores_the_outputs(strategy: Strategy, pair: TowerPair) -> None:
    trained = build_module(strategy, pair)
    train(trained, pair)
    checkpoint = {"state_dict": dict(trained.state_dict())}
    trained.on_save_checkpoint(checkpoint)
    saved = copy.deepcopy(checkpoint["state_dict"])
    assert set(saved) == {name for name, parameter in trained.named_parameters() if parameter.requires_grad}
    restored = build_module(strategy, pair, seed=7)
    restored.load_state_dict(saved)
    batch = sequence_batch(pair, num_items=NUM_ITEMS, seed=9)
    for expected, found in zip(evaluate(trained, batch), evaluate(restored, batch), strict=True):
        assert torch.equal(expected, found)


@torch.no_grad()
def evaluate(module: RecommenderModule, batch: object) -> tuple[torch.Tensor, torch.Tensor]:
    module.eval()
    embeddings, states = module.recommender(batch)
    return embeddings, states


def test_a_checkpoint_of_another_configuration_is_refused(strategy: Strategy, pair: TowerPair) -> None:
    module = build_module(strategy, pair)
    trainable = module.trainable_names()
    state = {name: tensor for name, tensor in module.state_dict().items() if name in trainable}
    with pytest.raises(CheckpointError, match="1 trainable tensors are missing"):
        module.load_state_dict(dict(list(state.items())[1:]))
    with pytest.raises(CheckpointError, match="1 are not known"):
        module.load_state_dict({**state, "recommender.stranger": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="another configuration"):
        module.load_state_dict({**state, next(iter(state)): torch.zeros(3, 5, 7)})


def test_the_same_seed_gives_the_same_training(strategy: Strategy, pair: TowerPair) -> None:
    first, second = build_module(strategy, pair), build_module(strategy, pair)
    for module in (first, second):
        train(module, pair)
    for expected, found in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_the_probe_accepts_it_and_changes_nothing(strategy: Strategy, pair: TowerPair) -> None:
    """The first-step check: right modes, a gradient for every trainable parameter and for no frozen one."""
    module = build_module(strategy, pair)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    random_state = torch.random.get_rng_state()
    cost = probe_step(module, sequence_batch(pair, num_items=NUM_ITEMS))
    assert torch.equal(random_state, torch.random.get_rng_state())
    assert all(torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in module.parameters())
    trainable = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    total = sum(parameter.numel() for parameter in module.parameters())
    assert cost.gradient_bytes == 4 * trainable
    assert cost.parameter_bytes == 4 * total
    assert cost.saved_bytes > 0
    assert cost.operations > 0


def test_stored_and_live_states_train_alike(pair: TowerPair) -> None:
    """Every strategy that reads frozen towers, once over live states and once over stored ones."""
    tested = 0
    for file in strategy_files():
        if not build_strategy(file).keeps_towers_frozen:
            continue
        live, stored = (build_module(build_strategy(file, states=states), pair) for states in ("live", "store"))
        for module in (live, stored):
            train(module, pair)
        batch = sequence_batch(pair, num_items=NUM_ITEMS)
        for expected, found in zip(evaluate(live, batch), evaluate(stored, batch), strict=True):
            assert torch.allclose(expected, found, atol=1e-5)
        tested += 1
    assert tested >= 2


@pytest.mark.parametrize("file", strategy_files(), ids=lambda file: file.stem)
def test_only_strategies_on_frozen_towers_take_a_store(file: Path) -> None:
    if build_strategy(file).keeps_towers_frozen:
        assert build_strategy(file, states="store").states == "store"
    else:
        with pytest.raises(SettingsError, match="frozen"):
            build_strategy(file, states="store")
