"""Laws that every strategy keeps; no law knows a strategy by name."""

import copy

import pytest
import torch

from peftrec.errors import SettingsError
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.testing.parts import compose
from peftrec.testing.small_towers import SMALL_PAIRS, item_batch
from peftrec.testing.steps import (
    DIM,
    LENGTH,
    NUM_ITEMS,
    batch_of,
    build,
    copies,
    draws,
    evaluating,
    moved,
    score,
    train,
    trainable,
)
from peftrec.testing.strategy_trial import StrategyTrial
from peftrec.training.measurement.first_step import probe_step


@pytest.fixture(scope="module")
def trial(request: pytest.FixtureRequest) -> StrategyTrial:
    overrides, name, pair = request.param
    return StrategyTrial(compose("strategy", name, overrides), SMALL_PAIRS[pair])


def test_embeds_each_item_of_a_batch(trial: StrategyTrial) -> None:
    batch = batch_of(trial.settings)
    embeddings, states = trial.built.recommender(batch)
    assert embeddings.shape == (NUM_ITEMS, DIM)
    assert states.shape == (len(batch.mask), LENGTH, DIM)
    assert torch.isfinite(embeddings).all()


def test_an_items_embedding_does_not_depend_on_the_batch(trial: StrategyTrial) -> None:
    """The catalogue is scored in blocks, which hold other items than the batches of training."""
    batch = item_batch(NUM_ITEMS, trial.pair)
    with evaluating(trial.built) as recommender:
        few, all_items = recommender.embed(batch.part(slice(5))), recommender.embed(batch)
    torch.testing.assert_close(few, all_items[:5], rtol=0, atol=1e-5)


def test_scoring_draws_nothing(trial: StrategyTrial) -> None:
    with evaluating(trial.built) as recommender:
        assert not draws(recommender, batch_of(trial.settings))


def test_every_parameter_has_one_role(trial: StrategyTrial) -> None:
    module = trial.built
    groups = module.configure_optimizers().param_groups
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    assert [role.name for role in module.parameter_roles] == [name for name, _ in module.recommender.named_parameters()]


def test_what_moves_is_what_is_declared_trainable(trial: StrategyTrial) -> None:
    """`moved subset of declared` would let a trainable tensor that never gets a gradient pass."""
    assert moved(trial.trained, trial.before) == trainable(trial.built)


def test_frozen_towers_have_no_trainable_parameter(trial: StrategyTrial) -> None:
    if trial.strategy.keeps_towers_frozen:
        assert not any(role.group for role in trial.built.parameter_roles if role.origin == "pretrained")


def test_starts_at_the_pretrained_towers_where_declared(trial: StrategyTrial) -> None:
    """Bit for bit where the strategy declares it, and only there."""
    batch = item_batch(NUM_ITEMS, trial.quiet_pair)
    untouched = trial.quiet_pair.load(seed=1)(batch)
    adapted = trial.quiet_encoder.eval().towers(batch)
    is_identity = bool(adapted) and all(torch.equal(vectors, untouched[name]) for name, vectors in adapted.items())
    assert is_identity == trial.strategy.identity_at_start


def test_draws_random_numbers_in_training_where_declared(trial: StrategyTrial) -> None:
    """And only there: else the number of processes is in the names of runs for nothing."""
    encoder = trial.quiet_encoder.train()
    if trial.strategy.keeps_towers_frozen:
        encoder.towers.eval()
    does_draw = draws(encoder, item_batch(NUM_ITEMS, trial.quiet_pair))
    assert does_draw == trial.strategy.draws_in_training


def test_reads_of_the_towers_what_it_says(trial: StrategyTrial) -> None:
    """A store is built, and a run is planned, from what it says."""
    strategy, towers = trial.strategy, trial.pair.load(seed=1, with_weights=False)
    reads = strategy.reads(towers.depths())
    assert reads.kind == strategy.read_kind
    assert set(reads.layers) == set(towers.present())
    encoder = trial.built.recommender.item_encoder
    if isinstance(encoder, FrozenStatesEncoder):
        assert strategy.keeps_towers_frozen
        assert {name: tuple(layers) for name, layers in encoder.indices.items()} == dict(reads.layers)


def test_a_checkpoint_of_trainable_tensors_restores_the_outputs(trial: StrategyTrial) -> None:
    trained = trial.trained
    checkpoint = {"state_dict": dict(trained.state_dict())}
    trained.on_save_checkpoint(checkpoint)
    saved = copy.deepcopy(checkpoint["state_dict"])
    assert set(saved) == trainable(trained)
    restored = build(trial.settings, seed=7)
    restored.load_state_dict(saved)
    for expected, found in zip(score(trained, trial.settings), score(restored, trial.settings), strict=True):
        assert torch.equal(expected, found)


def test_the_same_seed_gives_the_same_training(trial: StrategyTrial) -> None:
    again = build(trial.settings)
    train(again, trial.settings)
    assert not moved(again, copies(trial.trained))


def test_the_first_steps_check_accepts_it_and_changes_nothing(trial: StrategyTrial) -> None:
    """Right modes, a gradient for every trainable parameter and for no frozen one."""
    module, before = trial.built, trial.before
    random_state = torch.random.get_rng_state()
    cost = probe_step(module, batch_of(trial.settings))
    assert torch.equal(random_state, torch.random.get_rng_state())
    assert not moved(module, before)
    assert all(parameter.grad is None for parameter in module.parameters())
    names, sizes = trainable(module), {name: tensor.numel() for name, tensor in before.items()}
    assert cost.gradient_bytes == 4 * sum(sizes[name] for name in names)
    assert cost.parameter_bytes == 4 * sum(sizes.values())
    assert cost.saved_bytes > 0
    assert cost.operations > 0


def test_stored_and_live_states_train_alike(trial: StrategyTrial) -> None:
    """And what leaves nothing as it is refuses a store."""
    strategy = trial.strategy
    if strategy.stored_form is None:
        with pytest.raises(SettingsError, match="frozen"):
            trial.with_states("store")
        return
    settings = trial.with_states("store" if strategy.states == "live" else "live")
    other = build(settings)
    train(other, settings)
    for expected, found in zip(score(trial.trained, trial.settings), score(other, settings), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
