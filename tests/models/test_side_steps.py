"""The hand-written backward passes against finite differences."""

import pytest
import torch
from torch import Tensor

from peftrec.models.side_steps import InterStep, IntraStep, can_step

ITEMS, HIDDEN, BOTTLENECK = 5, 4, 3


def random(*shape: int, seed: int, needs_gradient: bool = True) -> Tensor:
    values = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return values.requires_grad_(needs_gradient)


def weights() -> list[Tensor]:
    return [
        random(BOTTLENECK, HIDDEN, seed=10),
        random(BOTTLENECK, seed=11),
        random(HIDDEN, BOTTLENECK, seed=12),
        random(HIDDEN, seed=13),
    ]


@pytest.mark.parametrize("is_first", [False, True])
def test_gradients_of_the_intra_step(is_first: bool) -> None:
    previous = random(ITEMS, HIDDEN, seed=0, needs_gradient=not is_first)
    state = random(ITEMS, HIDDEN, seed=1, needs_gradient=False)
    gate = random(seed=2)
    assert torch.autograd.gradcheck(IntraStep.apply, (previous, state, gate, *weights()))


@pytest.mark.parametrize("is_first", [False, True])
def test_gradients_of_the_inter_step(is_first: bool) -> None:
    previous = random(ITEMS, HIDDEN, seed=0, needs_gradient=not is_first)
    image, text = (random(ITEMS, HIDDEN, seed=seed, needs_gradient=False) for seed in (1, 2))
    gate = random(seed=3)
    assert torch.autograd.gradcheck(InterStep.apply, (previous, image, text, gate, *weights()))


def test_steps_leave_their_inputs_alone() -> None:
    previous = random(ITEMS, HIDDEN, seed=0)
    image, text = (random(ITEMS, HIDDEN, seed=seed, needs_gradient=False) for seed in (1, 2))
    gate, all_weights = random(seed=3), weights()
    inputs = [previous, image, text, gate, *all_weights]
    before = [tensor.detach().clone() for tensor in inputs]
    for step, states in ((IntraStep, [image]), (InterStep, [image, text])):
        output = step.apply(previous, *states, gate, *all_weights)
        gradient = torch.ones_like(output)
        output.backward(gradient)
        assert torch.equal(gradient, torch.ones_like(output))
    for tensor, value in zip(inputs, before, strict=True):
        assert torch.equal(tensor, value)


def test_steps_apply_outside_autocast_only() -> None:
    state = torch.zeros(2, 3)
    assert can_step(state)
    with torch.autocast("cpu", torch.bfloat16):
        assert not can_step(state)
        with torch.autocast("cpu", enabled=False):
            assert can_step(state)
