"""The hand-written backward passes against finite differences."""

import pytest
import torch
from torch import Tensor, nn

from peftrec.models.side_steps import InterStep, IntraStep, product_dtype

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


@pytest.mark.parametrize("aligned", ["image", "text", "both"])
def test_gradients_of_the_inter_step_towards_aligned_states(aligned: str) -> None:
    previous = random(ITEMS, HIDDEN, seed=0)
    image = random(ITEMS, HIDDEN, seed=1, needs_gradient=aligned != "text")
    text = random(ITEMS, HIDDEN, seed=2, needs_gradient=aligned != "image")
    assert torch.autograd.gradcheck(InterStep.apply, (previous, image, text, random(seed=3), *weights()))


def test_gradients_of_the_intra_step_towards_its_state() -> None:
    previous, state = random(ITEMS, HIDDEN, seed=0), random(ITEMS, HIDDEN, seed=1)
    assert torch.autograd.gradcheck(IntraStep.apply, (previous, state, random(seed=2), *weights()))


def test_steps_leave_their_inputs_alone() -> None:
    previous = random(ITEMS, HIDDEN, seed=0)
    image, text = (random(ITEMS, HIDDEN, seed=seed) for seed in (1, 2))
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


@pytest.mark.parametrize("step", [IntraStep, InterStep])
def test_steps_under_autocast_are_those_of_plain_operations(step: type[torch.autograd.Function]) -> None:
    previous, image, text = (random(64, 32, seed=seed).detach().float() for seed in (0, 1, 2))
    shapes = ((16, 32), (16,), (32, 16), (32,))
    tensors = [random(seed=3), *(random(*shape, seed=10 + at) for at, shape in enumerate(shapes))]

    def plain(gate: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor) -> Tensor:
        mixture = torch.lerp(previous, image, gate) if step is IntraStep else previous + torch.lerp(text, image, gate)
        hidden = nn.functional.linear(mixture, down, down_bias).relu()
        return mixture + nn.functional.linear(hidden, up, up_bias)

    def by_hand(*given: Tensor) -> Tensor:
        states = [image] if step is IntraStep else [image, text]
        output: Tensor = step.apply(previous, *states, *given)  # type: ignore[no-untyped-call]
        return output

    results = []
    for function in (plain, by_hand):
        given = [tensor.detach().float().requires_grad_() for tensor in tensors]
        with torch.autocast("cpu", torch.bfloat16):
            output = function(*given)
        output.square().sum().backward()
        assert output.dtype == torch.float32
        results.append([output.detach(), *(tensor.grad for tensor in given)])
    for expected, found in zip(*results, strict=True):
        assert found.dtype == expected.dtype
        assert float((found - expected).norm() / expected.norm()) < 2e-2  # bfloat16 has eight bits


def test_products_take_the_type_of_autocast() -> None:
    state = torch.zeros(2, 3)
    assert product_dtype(state) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert product_dtype(state) == torch.bfloat16
        with torch.autocast("cpu", enabled=False):
            assert product_dtype(state) == torch.float32
