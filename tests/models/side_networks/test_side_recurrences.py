"""The hand-written backward passes against finite differences."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from peftrec.models.precision import product_dtype
from peftrec.models.side_networks.side_recurrences import InterRecurrence, IntraRecurrence
from peftrec.training.measurement.first_step import UNCOUNTED_BY_TORCH

ITEMS, HIDDEN, BOTTLENECK, STEPS = 5, 4, 3, 3
Recurrence = type[IntraRecurrence] | type[InterRecurrence]
BOTH = pytest.mark.parametrize("recurrence", [IntraRecurrence, InterRecurrence])


def random(*shape: int, seed: int, needs_gradient: bool = True) -> Tensor:
    values = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return values.requires_grad_(needs_gradient)


def states(seed: int, *, needs_gradient: bool = False) -> list[Tensor]:
    return [random(ITEMS, HIDDEN, seed=100 * seed + step, needs_gradient=needs_gradient) for step in range(STEPS)]


def weights(hidden: int = HIDDEN, bottleneck: int = BOTTLENECK) -> list[Tensor]:
    shapes = [(bottleneck, hidden), (bottleneck,), (hidden, bottleneck), (hidden,)] * STEPS
    return [random(*shape, seed=10 + at) for at, shape in enumerate(shapes)]


def logits() -> Tensor:
    return random(STEPS, seed=3)


@pytest.mark.parametrize("first", [None, "fixed", "trained"])
def test_gradients_of_the_intra_recurrence(first: str | None) -> None:
    start = None if first is None else random(ITEMS, HIDDEN, seed=0, needs_gradient=first == "trained")
    assert torch.autograd.gradcheck(IntraRecurrence.apply, (start, logits(), *states(1), *weights()))


def test_gradients_of_the_intra_recurrence_towards_its_states() -> None:
    trained = states(1, needs_gradient=True)
    assert torch.autograd.gradcheck(IntraRecurrence.apply, (None, logits(), *trained, *weights()))


@pytest.mark.parametrize("aligned", [(), ("image",), ("text",), ("image", "text")])
def test_gradients_of_the_inter_recurrence(aligned: tuple[str, ...]) -> None:
    image, text = (states(seed, needs_gradient=name in aligned) for seed, name in ((1, "image"), (2, "text")))
    assert torch.autograd.gradcheck(InterRecurrence.apply, (logits(), *image, *text, *weights()))


@pytest.mark.parametrize("aligned", [(), (0, 2), (0, 1, 2)])
def test_gradients_of_the_inter_recurrence_over_three_towers(aligned: tuple[int, ...]) -> None:
    fed = [state for tower in range(3) for state in states(tower, needs_gradient=tower in aligned)]
    assert torch.autograd.gradcheck(InterRecurrence.apply, (random(STEPS, 2, seed=3), *fed, *weights()))


@pytest.mark.parametrize("logit", [-400.0, 0.0, 400.0])
def test_a_tower_that_weighs_all_or_nothing_has_its_gradient(logit: float) -> None:
    of_logits = torch.tensor([[logit, 0.5]] * STEPS, dtype=torch.float64, requires_grad=True)
    fed, of_blocks = [states(tower, needs_gradient=True) for tower in range(3)], weights()
    every = [state for tower in fed for state in tower]
    odds = torch.softmax(torch.cat([of_logits, torch.zeros(STEPS, 1, dtype=torch.float64)], dim=1), dim=1)
    previous = torch.zeros(ITEMS, HIDDEN, dtype=torch.float64)
    for step in range(STEPS):
        down, down_bias, up, up_bias = of_blocks[4 * step : 4 * step + 4]
        mixture = previous + sum(odds[step, tower] * fed[tower][step] for tower in range(3))
        previous = mixture + nn.functional.linear(nn.functional.linear(mixture, down, down_bias).relu(), up, up_bias)
    found = InterRecurrence.apply(of_logits, *every, *of_blocks)  # type: ignore[no-untyped-call]
    needed = [of_logits, *every, *of_blocks]
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), needed),
        torch.autograd.grad(previous.square().sum(), needed),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@BOTH
def test_inputs_and_the_gradient_that_comes_in_are_left_alone(recurrence: Recurrence) -> None:
    first = [random(ITEMS, HIDDEN, seed=0)] if recurrence is IntraRecurrence else []
    fed = [*states(1, needs_gradient=True), *(states(2) if recurrence is InterRecurrence else [])]
    inputs = [*first, logits(), *fed, *weights()]
    before = [tensor.detach().clone() for tensor in inputs]
    output = recurrence.apply(*inputs)  # type: ignore[no-untyped-call]
    kept, gradient = output.detach().clone(), torch.ones_like(output)
    output.backward(gradient)
    assert torch.equal(gradient, torch.ones_like(output))
    assert torch.equal(output, kept)
    for tensor, value in zip(inputs, before, strict=True):
        assert torch.equal(tensor, value)


def plainly(recurrence: Recurrence, image: list[Tensor], text: list[Tensor], *given: Tensor) -> Tensor:
    """The same in plain operations; the intra recurrence runs over the images."""
    of_gates, *of_blocks = given
    previous = torch.zeros_like(image[0])
    for step, gate in enumerate(torch.sigmoid(of_gates)):
        down, down_bias, up, up_bias = of_blocks[4 * step : 4 * step + 4]
        if recurrence is IntraRecurrence:
            mixture = torch.lerp(previous, image[step], gate)
        else:
            mixture = previous + torch.lerp(text[step], image[step], gate)
        hidden = nn.functional.linear(mixture, down, down_bias).relu()
        previous = mixture + nn.functional.linear(hidden, up, up_bias)
    return previous


def by_hand(recurrence: Recurrence, image: list[Tensor], text: list[Tensor], *given: Tensor) -> Tensor:
    of_gates, *of_blocks = given
    inputs = (None, of_gates, *image) if recurrence is IntraRecurrence else (of_gates, *image, *text)
    output: Tensor = recurrence.apply(*inputs, *of_blocks)  # type: ignore[no-untyped-call]
    return output


@pytest.mark.parametrize("logit", [-50.0, -2.0, 0.0, 2.0, 50.0])
@BOTH
def test_gates_that_are_shut_or_open_to_the_last_bit_have_their_gradients(recurrence: Recurrence, logit: float) -> None:
    of_gates = torch.full((STEPS,), logit, dtype=torch.float64, requires_grad=True)
    image, text = states(1, needs_gradient=True), states(2, needs_gradient=recurrence is InterRecurrence)
    trained = [of_gates, *weights()]
    needed = [*trained, *image, *(text if recurrence is InterRecurrence else [])]
    found, expected = (
        torch.autograd.grad(function(recurrence, image, text, *trained).square().sum(), needed)
        for function in (by_hand, plainly)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@BOTH
def test_every_product_is_counted(recurrence: Recurrence) -> None:
    """Also those in place, which torch's counter does not know."""
    counts = []
    for function in (plainly, by_hand):
        with FlopCounterMode(display=False, custom_mapping=UNCOUNTED_BY_TORCH) as counter:
            function(recurrence, states(1), states(2), logits(), *weights()).sum().backward()
        counts.append(counter.get_total_flops())
    one_product = 2 * ITEMS * HIDDEN * BOTTLENECK
    assert counts == [6 * STEPS * one_product] * 2  # two forward, and backward twice as many


@BOTH
def test_recurrences_under_autocast_are_those_of_plain_operations(recurrence: Recurrence) -> None:
    hidden, bottleneck = 32, 16
    image, text = (
        [random(64, hidden, seed=100 * seed + step).detach().float() for step in range(STEPS)] for seed in (1, 2)
    )
    tensors = [logits(), *weights(hidden, bottleneck)]
    results = []
    for function in (plainly, by_hand):
        given = [tensor.detach().float().requires_grad_() for tensor in tensors]
        with torch.autocast("cpu", torch.bfloat16):
            output = function(recurrence, image, text, *given)
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
