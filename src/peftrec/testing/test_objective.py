"""Laws that every objective keeps; no law knows one by name."""

from dataclasses import replace
from functools import cached_property

import pytest
import torch
from torch import Tensor, nn

from peftrec.models.objectives.inputs import ObjectiveInputs
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

POOL, BESIDE, USERS, STEPS = 9, 4, 5, 6
LENGTHS = torch.tensor([2, 4, STEPS, 3, 5])


class ObjectiveTrial:
    """An objective, alone and in a small model."""

    def __init__(self, settings: Settings) -> None:
        self.settings = small(settings, SMALL_PAIRS["text_only"])
        self.objective = self.settings.objective

    @cached_property
    def loss(self) -> nn.Module:
        """Its module; laws leave it as it is."""
        torch.manual_seed(0)
        return self.objective.build(dim=DIM, num_items=POOL + BESIDE)

    def value(self, inputs: ObjectiveInputs) -> Tensor:
        """Return the loss, with the same random numbers every time."""
        torch.manual_seed(0)
        loss: Tensor = self.loss(inputs)
        return loss


@pytest.fixture(scope="module")
def trial(request: pytest.FixtureRequest) -> ObjectiveTrial:
    overrides, name = request.param
    return ObjectiveTrial(compose("objective", name, overrides))


def inputs_of(trial: ObjectiveTrial) -> ObjectiveInputs:
    """Make a whole batch: states of some users, embeddings of its items, and of others where it asks for them."""
    generator = torch.Generator().manual_seed(0)
    num_items = POOL if trial.objective.competitors().kind == "batch" else POOL + BESIDE
    mask = torch.arange(STEPS) >= STEPS - LENGTHS[:, None]
    sequences = torch.zeros(USERS, STEPS, dtype=torch.long)
    sequences[mask] = torch.arange(int(mask.sum())) % POOL  # every item stands somewhere
    return ObjectiveInputs(
        states=torch.randn(USERS, STEPS - 1, DIM, generator=generator),
        embeddings=torch.randn(num_items, DIM, generator=generator),
        sequences=sequences,
        mask=mask,
        log_popularity=torch.linspace(-4, -1, num_items),
        drawn=torch.arange(num_items) >= POOL if trial.objective.competitors().kind == "sampled" else None,
    )


def part_of(whole: ObjectiveInputs, users: slice) -> ObjectiveInputs:
    """Return what one of several processes sees: all items, and some users."""
    counts = torch.bincount(whole.sequences[whole.mask], minlength=len(whole.embeddings))
    return replace(
        whole,
        states=whole.states[users],
        sequences=whole.sequences[users],
        mask=whole.mask[users],
        multiplicity=counts.float(),
    )


def test_gives_one_finite_number_and_gradients(trial: ObjectiveTrial) -> None:
    inputs = inputs_of(trial)
    inputs.states.requires_grad_()
    inputs.embeddings.requires_grad_()
    loss = trial.value(inputs)
    assert loss.shape == ()
    assert loss.isfinite()
    for gradient in torch.autograd.grad(loss, (inputs.states, inputs.embeddings)):
        assert gradient.isfinite().all()
        assert gradient.any()


@torch.no_grad()
def test_what_stands_at_padding_does_not_matter(trial: ObjectiveTrial) -> None:
    inputs = inputs_of(trial)
    states = torch.where(inputs.mask[:, :-1, None], inputs.states, torch.full_like(inputs.states, 9.0))
    sequences = torch.where(inputs.mask, inputs.sequences, torch.full_like(inputs.sequences, POOL - 1))
    noisy = replace(inputs, states=states, sequences=sequences)
    torch.testing.assert_close(trial.value(noisy), trial.value(inputs), rtol=1e-5, atol=0)


@torch.no_grad()
def test_the_parts_of_a_batch_have_its_mean(trial: ObjectiveTrial) -> None:
    """Each of several processes computes the loss of its users; what they draw would differ."""
    if trial.objective.draws_in_training:
        return
    inputs = inputs_of(trial)
    parts = [part_of(inputs, users) for users in (slice(0, 2), slice(2, USERS))]
    shares = [part.mask[:, :-1].sum() / inputs.mask[:, :-1].sum() for part in parts]
    together = sum(share * trial.value(part) for share, part in zip(shares, parts, strict=True))
    torch.testing.assert_close(together, trial.value(inputs), rtol=1e-5, atol=0)


@torch.no_grad()
def test_scores_against_what_it_asks_for(trial: ObjectiveTrial) -> None:
    """Items that are put beside a batch are encoded in every step, and so must count."""
    if trial.objective.competitors().kind == "batch":
        return
    inputs = inputs_of(trial)
    alone = replace(
        inputs,
        embeddings=inputs.embeddings[:POOL],
        log_popularity=inputs.log_popularity[:POOL],
        drawn=None if inputs.drawn is None else inputs.drawn[:POOL],
    )
    assert not torch.allclose(trial.value(alone), trial.value(inputs), rtol=1e-4)


@torch.no_grad()
def test_draws_random_numbers_in_training_where_declared(trial: ObjectiveTrial) -> None:
    """And only there: else the number of processes is in the names of runs for nothing."""
    assert draws(trial.loss.train(), inputs_of(trial)) == trial.objective.draws_in_training


def test_what_moves_is_what_is_declared_trainable(trial: ObjectiveTrial) -> None:
    """Its own parameters among them; and the same seed gives the same training."""
    module = build(trial.settings)
    before = copies(module)
    train(module, trial.settings)
    assert moved(module, before) == trainable(module)
    again = build(trial.settings)
    train(again, trial.settings)
    assert not moved(again, copies(module)), "the same seed gives another training"


def test_the_first_steps_check_accepts_it(trial: ObjectiveTrial) -> None:
    cost = probe_step(build(trial.settings), batch_of(trial.settings))
    assert cost.saved_bytes > 0
    assert cost.operations > 0


def test_a_plan_counts_what_a_step_computes(trial: ObjectiveTrial) -> None:
    """And so asks for no value of a tensor."""
    cost = probe_step(build(trial.settings), batch_of(trial.settings))
    assert planned_operations(trial.settings) == cost.operations
