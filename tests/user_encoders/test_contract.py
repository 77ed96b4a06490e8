"""Laws that every user encoder keeps; they are found by their yaml, and no test knows one by name."""

from collections.abc import Callable

import pytest
import torch
import yaml
from torch import Tensor, nn

from peftrec.config.folder import config_directory
from peftrec.config.instantiate import build_part
from peftrec.data.batches import SequenceBatch
from peftrec.data.content import ItemContent
from peftrec.errors import SettingsError
from peftrec.models.item_encoder import TowerItemEncoder
from peftrec.models.objectives.debiased_cross_entropy import DebiasedCrossEntropyLoss
from peftrec.models.recommender import Recommender
from peftrec.training.measurement.first_step import probe_step
from peftrec.training.module import LoopSettings, RecommenderModule
from peftrec.training.parameter_groups import PretrainedSnapshot, parameter_roles
from peftrec.user_encoders.base import UserEncoder
from small_models import SMALL_PAIRS, sequence_batch

FOLDER = config_directory() / "user_encoder"
FILES = sorted(FOLDER.rglob("*.yaml"))
DIM, LENGTH = 16, 7
LENGTHS = torch.tensor([1, 3, LENGTH, 5, 2])
USERS = len(LENGTHS)
PAIR = SMALL_PAIRS["text_only"]


@pytest.fixture(params=FILES, ids=lambda file: file.relative_to(FOLDER).with_suffix("").as_posix())
def settings(request: pytest.FixtureRequest) -> UserEncoder:
    return build_part(UserEncoder, yaml.safe_load(request.param.read_text()))  # type: ignore[type-abstract]


def build_encoder(settings: UserEncoder) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return settings.build(dim=DIM, sequence_length=LENGTH)


def inputs() -> tuple[Tensor, Tensor]:
    """Random histories, padded on the left; what stands at padding is random as well."""
    embeddings = torch.randn(USERS, LENGTH, DIM, generator=torch.Generator().manual_seed(0))
    return embeddings, torch.arange(LENGTH) >= LENGTH - LENGTHS[:, None]


def test_there_are_user_encoders_to_test() -> None:
    assert len(FILES) >= 2


@torch.no_grad()
def test_gives_a_state_a_step(settings: UserEncoder) -> None:
    embeddings, mask = inputs()
    states = build_encoder(settings).eval()(embeddings, mask)
    assert states.shape == (USERS, LENGTH, DIM)
    assert states.isfinite().all()


@torch.no_grad()
def test_a_later_item_does_not_change_earlier_states(settings: UserEncoder) -> None:
    """And changes its own step's."""
    embeddings, mask = inputs()
    model = build_encoder(settings).eval()
    states = model(embeddings, mask)
    for step in range(LENGTH):
        changed = embeddings.clone()
        changed[:, step] = -changed[:, step]
        others = model(changed, mask)
        earlier = mask[:, :step]
        torch.testing.assert_close(others[:, :step][earlier], states[:, :step][earlier], rtol=0, atol=1e-6)
        there = mask[:, step]
        assert ((others[:, step] - states[:, step]).abs().amax(dim=1) > 1e-4)[there].all()


@torch.no_grad()
def test_what_stands_at_padding_does_not_matter(settings: UserEncoder) -> None:
    embeddings, mask = inputs()
    model = build_encoder(settings).eval()
    noisy = torch.where(mask[..., None], embeddings, torch.full_like(embeddings, 1e3))
    torch.testing.assert_close(model(noisy, mask)[mask], model(embeddings, mask)[mask], rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_user_does_not_depend_on_the_others(settings: UserEncoder) -> None:
    embeddings, mask = inputs()
    model = build_encoder(settings).eval()
    together = model(embeddings, mask)
    for user in range(USERS):
        alone = model(embeddings[user : user + 1], mask[user : user + 1])
        torch.testing.assert_close(alone[0][mask[user]], together[user][mask[user]], rtol=0, atol=1e-5)


def test_padding_alone_gives_finite_states_and_gradients(settings: UserEncoder) -> None:
    embeddings, mask = inputs()
    mask[1] = False
    embeddings.requires_grad_()
    model = build_encoder(settings).train()
    states = model(embeddings, mask)
    assert states.isfinite().all()
    states[mask].sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()
    assert not embeddings.grad[~mask].any(), "padding has no share in the states that are read"
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())


def test_draws_in_training_alone_and_the_same_for_the_same_seed(settings: UserEncoder) -> None:
    embeddings, mask = inputs()
    model = build_encoder(settings)
    model.eval()
    assert torch.equal(model(embeddings, mask), model(embeddings, mask))
    model.train()
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(model(embeddings, mask))
    assert torch.equal(*found)


def build_module(settings: UserEncoder, *, seed: int = 0) -> RecommenderModule:
    """Assemble a run's module on a small tower."""
    towers = PAIR.load(seed=1)
    snapshot = PretrainedSnapshot.of(towers)
    torch.manual_seed(seed)
    encoder = TowerItemEncoder(towers, embedding_dim=DIM)
    recommender = Recommender(encoder, settings.build(dim=DIM, sequence_length=4), item_norm=settings.item_norm())
    module = RecommenderModule(
        recommender,
        DebiasedCrossEntropyLoss(),
        parameter_roles=parameter_roles(recommender, encoder, snapshot),
        content=ItemContent(),
        log_popularity=torch.full((12,), -2.0),
        loop=LoopSettings(learning_rates={"text": 1e-2, "recommender": 1e-2}, mask_history="all", seed=0),
        towers_stay_frozen=False,
    )
    module.set_training_modes()
    return module


def batch(seed: int) -> SequenceBatch:
    return sequence_batch(PAIR, num_items=12, seed=seed)


def train(module: RecommenderModule, *, num_steps: int = 3) -> None:
    optimizer = module.configure_optimizers()
    for step in range(num_steps):
        torch.manual_seed(step)
        module.loss(batch(step)).backward()
        optimizer.step()
        optimizer.zero_grad()


def test_what_moves_is_what_is_declared_trainable(settings: UserEncoder) -> None:
    module = build_module(settings)
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    train(module)
    moved = {name for name, parameter in module.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name, parameter in module.named_parameters() if parameter.requires_grad}


def test_the_probe_accepts_it(settings: UserEncoder) -> None:
    module = build_module(settings)
    cost = probe_step(module, batch(0))
    assert cost.saved_bytes > 0
    assert cost.operations > 0


def test_the_same_seed_gives_the_same_training(settings: UserEncoder) -> None:
    first, second, other = build_module(settings), build_module(settings), build_module(settings, seed=1)
    for module in (first, second, other):
        train(module)
    for expected, found in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(expected, found)
    assert not all(torch.equal(*pair) for pair in zip(first.parameters(), other.parameters(), strict=True))


def test_a_width_that_cannot_be_built_is_known_beforehand(settings: UserEncoder) -> None:
    """Settings ask `check`, so that all jobs of a sweep are refused before the first starts."""
    for dim in range(1, DIM + 1):
        assert is_refused(lambda dim=dim: settings.check(dim=dim)) == is_refused(
            lambda dim=dim: settings.build(dim=dim, sequence_length=LENGTH)
        )


def is_refused(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except SettingsError:
        return True
    return False
