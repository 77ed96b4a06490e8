"""The hand-written backward passes against finite differences."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from peftrec.models.side_steps import InterStep, IntraStep, product_dtype
from peftrec.training.probe import UNCOUNTED_BY_TORCH

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
    logit = random(seed=3)
    assert torch.autograd.gradcheck(IntraStep.apply, (previous, state, logit, *weights()))


@pytest.mark.parametrize("is_first", [False, True])
def test_gradients_of_the_inter_step(is_first: bool) -> None:
    previous = random(ITEMS, HIDDEN, seed=0, needs_gradient=not is_first)
    image, text = (random(ITEMS, HIDDEN, seed=seed, needs_gradient=False) for seed in (1, 2))
    logit = random(seed=3)
    assert torch.autograd.gradcheck(InterStep.apply, (previous, image, text, logit, *weights()))


@pytest.mark.parametrize("aligned", ["image", "text", "both"])
def test_gradients_of_the_inter_step_towards_aligned_states(aligned: str) -> None:
    previous = random(ITEMS, HIDDEN, seed=0)
    image = random(ITEMS, HIDDEN, seed=1, needs_gradient=aligned != "text")
    text = random(ITEMS, HIDDEN, seed=2, needs_gradient=aligned != "image")
    assert torch.autograd.gradcheck(InterStep.apply, (previous, image, text, random(seed=3), *weights()))


def test_gradients_of_the_intra_step_towards_its_state() -> None:
    previous, state = random(ITEMS, HIDDEN, seed=0), random(ITEMS, HIDDEN, seed=1)
    assert torch.autograd.gradcheck(IntraStep.apply, (previous, state, random(seed=3), *weights()))


def test_steps_leave_their_inputs_alone() -> None:
    previous = random(ITEMS, HIDDEN, seed=0)
    image, text = (random(ITEMS, HIDDEN, seed=seed) for seed in (1, 2))
    logit, all_weights = random(seed=3), weights()
    inputs = [previous, image, text, logit, *all_weights]
    before = [tensor.detach().clone() for tensor in inputs]
    for step, states in ((IntraStep, [image]), (InterStep, [image, text])):
        output = step.apply(previous, *states, logit, *all_weights)
        gradient = torch.ones_like(output)
        output.backward(gradient)
        assert torch.equal(gradient, torch.ones_like(output))
    for tensor, value in zip(inputs, before, strict=True):
        assert torch.equal(tensor, value)


Step = type[IntraStep] | type[InterStep]


def plainly(step: Step, previous: Tensor, image: Tensor, text: Tensor, logit: Tensor, *block: Tensor) -> Tensor:
    """The same in plain operations."""
    gate = torch.sigmoid(logit)
    mixture = torch.lerp(previous, image, gate) if step is IntraStep else previous + torch.lerp(text, image, gate)
    down, down_bias, up, up_bias = block
    hidden = nn.functional.linear(mixture, down, down_bias).relu()
    return mixture + nn.functional.linear(hidden, up, up_bias)


def by_hand(step: Step, previous: Tensor, image: Tensor, text: Tensor, logit: Tensor, *block: Tensor) -> Tensor:
    states = [image] if step is IntraStep else [image, text]
    output: Tensor = step.apply(previous, *states, logit, *block)  # type: ignore[no-untyped-call]
    return output


@pytest.mark.parametrize("logit", [-50.0, -2.0, 0.0, 2.0, 50.0])
@pytest.mark.parametrize("step", [IntraStep, InterStep])
def test_gates_that_are_shut_or_open_to_the_last_bit_have_their_gradients(step: Step, logit: float) -> None:
    tensors = [
        *(random(ITEMS, HIDDEN, seed=seed) for seed in (0, 1, 2)),
        torch.tensor(logit, dtype=torch.float64, requires_grad=True),
        *weights(),
    ]
    needed = [tensor for at, tensor in enumerate(tensors) if step is InterStep or at != 2]
    found = torch.autograd.grad(by_hand(step, *tensors).square().sum(), needed)
    expected = torch.autograd.grad(plainly(step, *tensors).square().sum(), needed)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("step", [IntraStep, InterStep])
def test_every_product_is_counted(step: Step) -> None:
    """Also one in place, which torch's counter does not know."""
    counts = []
    for function in (plainly, by_hand):
        tensors = [random(ITEMS, HIDDEN, seed=0), *(random(ITEMS, HIDDEN, seed=seed).detach() for seed in (1, 2))]
        with FlopCounterMode(display=False, custom_mapping=UNCOUNTED_BY_TORCH) as counter:
            function(step, *tensors, random(seed=3), *weights()).sum().backward()
        counts.append(counter.get_total_flops())
    one_product = 2 * ITEMS * HIDDEN * BOTTLENECK
    assert counts == [6 * one_product] * 2  # two forward, and backward twice as many


@pytest.mark.parametrize("step", [IntraStep, InterStep])
def test_steps_under_autocast_are_those_of_plain_operations(step: Step) -> None:
    previous, image, text = (random(64, 32, seed=seed).detach().float() for seed in (0, 1, 2))
    shapes = ((16, 32), (16,), (32, 16), (32,))
    tensors = [random(seed=3), *(random(*shape, seed=10 + at) for at, shape in enumerate(shapes))]
    results = []
    for function in (plainly, by_hand):
        given = [tensor.detach().float().requires_grad_() for tensor in tensors]
        with torch.autocast("cpu", torch.bfloat16):
            output = function(step, previous, image, text, *given)
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
