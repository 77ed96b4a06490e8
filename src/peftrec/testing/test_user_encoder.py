"""Laws that every user encoder keeps; no law knows one by name."""

from collections.abc import Callable
from functools import cached_property

import pytest
import torch
from torch import Tensor, nn

from peftrec.errors import SettingsError
from peftrec.settings.run import Settings
from peftrec.testing.parts import compose
from peftrec.testing.small_towers import SMALL_PAIRS
from peftrec.testing.steps import (
    DIM,
    batch_of,
    build,
    copies,
    draws,
    moved,
    planned_operations,
    small,
    train,
    trainable,
)
from peftrec.training.measurement.first_step import probe_step

LENGTH = 7
LENGTHS = torch.tensor([1, 3, LENGTH, 5, 2])
USERS = len(LENGTHS)
DAY = 86_400


class UserEncoderTrial:
    """A user encoder, alone and in a small model."""

    def __init__(self, settings: Settings) -> None:
        self.settings = small(settings, SMALL_PAIRS["text_only"])
        self.encoder = self.settings.user_encoder

    @cached_property
    def model(self) -> nn.Module:
        """Its module; laws change nothing of it but modes."""
        torch.manual_seed(0)
        return self.encoder.build(dim=DIM, sequence_length=LENGTH)

    def states(self, embeddings: Tensor, mask: Tensor, times: Tensor | None = None) -> Tensor:
        """Read histories, with times where the encoder reads them."""
        if times is None and self.encoder.reads_times:
            times = moments(mask)
        states: Tensor = self.model(embeddings, mask, times)
        return states


@pytest.fixture(scope="module")
def trial(request: pytest.FixtureRequest) -> UserEncoderTrial:
    overrides, name = request.param
    return UserEncoderTrial(compose("user_encoder", name, overrides))


def histories() -> tuple[Tensor, Tensor]:
    """Make random histories, padded on the left; what stands at padding is random as well."""
    embeddings = torch.randn(USERS, LENGTH, DIM, generator=torch.Generator().manual_seed(0))
    return embeddings, torch.arange(LENGTH) >= LENGTH - LENGTHS[:, None]


def moments(mask: Tensor) -> Tensor:
    """Make a time for every place where an item stands, one a day."""
    return (1_000_000_000 + DAY * torch.arange(mask.shape[1])) * mask


@torch.no_grad()
def test_gives_a_state_a_step(trial: UserEncoderTrial) -> None:
    embeddings, mask = histories()
    trial.model.eval()
    states = trial.states(embeddings, mask)
    assert states.shape == (USERS, LENGTH, DIM)
    assert states.isfinite().all()


@torch.no_grad()
def test_a_later_item_does_not_change_earlier_states(trial: UserEncoderTrial) -> None:
    """And changes its own step's."""
    embeddings, mask = histories()
    trial.model.eval()
    states = trial.states(embeddings, mask)
    for step in range(LENGTH):
        changed = embeddings.clone()
        changed[:, step] = -changed[:, step]
        others = trial.states(changed, mask)
        earlier, there = mask[:, :step], mask[:, step]
        torch.testing.assert_close(others[:, :step][earlier], states[:, :step][earlier], rtol=0, atol=1e-6)
        assert ((others[:, step] - states[:, step]).abs().amax(dim=1) > 1e-4)[there].all()


@torch.no_grad()
def test_a_later_time_does_not_change_earlier_states(trial: UserEncoderTrial) -> None:
    """Where times are read; they are then read indeed."""
    if not trial.encoder.reads_times:
        return
    embeddings, mask = histories()
    times = moments(mask)
    trial.model.eval()
    states, has_changed = trial.states(embeddings, mask), False
    for step in range(LENGTH):
        later = times + 30 * DAY * (torch.arange(LENGTH) >= step) * mask
        others = trial.states(embeddings, mask, later)
        earlier = mask[:, :step]
        torch.testing.assert_close(others[:, :step][earlier], states[:, :step][earlier], rtol=0, atol=1e-6)
        has_changed |= not torch.equal(others[mask], states[mask])
    assert has_changed, "reads_times is declared, and no state depends on a time"


@torch.no_grad()
def test_what_stands_at_padding_does_not_matter(trial: UserEncoderTrial) -> None:
    embeddings, mask = histories()
    trial.model.eval()
    noisy = torch.where(mask[..., None], embeddings, torch.full_like(embeddings, 1e3))
    found, expected = trial.states(noisy, mask)[mask], trial.states(embeddings, mask)[mask]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_user_does_not_depend_on_the_others(trial: UserEncoderTrial) -> None:
    embeddings, mask = histories()
    trial.model.eval()
    together = trial.states(embeddings, mask)
    for user in range(USERS):
        alone = trial.states(embeddings[user : user + 1], mask[user : user + 1])
        torch.testing.assert_close(alone[0][mask[user]], together[user][mask[user]], rtol=0, atol=1e-5)


def test_padding_alone_gives_finite_states_and_gradients(trial: UserEncoderTrial) -> None:
    embeddings, mask = histories()
    mask[1] = False
    embeddings.requires_grad_()
    trial.model.train().zero_grad()
    states = trial.states(embeddings, mask)
    assert states.isfinite().all()
    states[mask].sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()
    assert not embeddings.grad[~mask].any(), "padding has no share in the states that are read"
    gradients = [parameter.grad for parameter in trial.model.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@torch.no_grad()
def test_draws_random_numbers_in_training_where_declared(trial: UserEncoderTrial) -> None:
    """And in training alone."""
    trial.model.train()
    assert draws(trial.states, *histories()) == trial.encoder.draws_in_training
    trial.model.eval()
    assert not draws(trial.states, *histories())


def test_what_moves_is_what_is_declared_trainable(trial: UserEncoderTrial) -> None:
    module = build(trial.settings)
    before = copies(module)
    train(module, trial.settings)
    assert moved(module, before) == trainable(module)
    again = build(trial.settings)
    train(again, trial.settings)
    assert not moved(again, copies(module)), "the same seed gives another training"


def test_the_first_steps_check_accepts_it(trial: UserEncoderTrial) -> None:
    cost = probe_step(build(trial.settings), batch_of(trial.settings))
    assert cost.saved_bytes > 0
    assert cost.operations > 0


def test_a_width_that_cannot_be_built_is_known_beforehand(trial: UserEncoderTrial) -> None:
    """Settings ask `check`, so that all jobs of a sweep are refused before the first starts."""
    encoder = trial.encoder
    for dim in range(1, DIM + 1):
        is_refused_before = is_refused(lambda dim=dim: encoder.check(dim=dim))  # type: ignore[misc]
        is_refused_then = is_refused(lambda dim=dim: encoder.build(dim=dim, sequence_length=LENGTH))  # type: ignore[misc]
        assert is_refused_before == is_refused_then


def is_refused(ask: Callable[[], object]) -> bool:
    """Say whether an answer is a SettingsError."""
    try:
        ask()
    except SettingsError:
        return True
    return False


def test_a_plan_counts_what_a_step_computes(trial: UserEncoderTrial) -> None:
    """And so asks for no value of a tensor."""
    cost = probe_step(build(trial.settings), batch_of(trial.settings))
    assert planned_operations(trial.settings) == cost.operations
