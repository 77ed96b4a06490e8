"""The side network's two recurrences, each a single autograd step: mixtures and blocks together, backward by hand.

They compute what `SideTower` spells out in plain operations (tests hold values and gradients together), for relu. They
walk the memory fewer times between the matrix products, since what nobody else holds is written in place, and keep of
a block only its input and its bottleneck: a gate gets its gradient at its logit, where

    d(mixture) / d(logit) = (state - mixture) gate        gate = sigmoid(logit)

needs no more, and holds where the gate is shut or open to the last bit. Under autocast the products take its type and
everything between blocks stays as it is, as autocast would have it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from peftrec.models.precision import product_dtype

_WEIGHTS = 4  # of a block: down, its bias, up, its bias
PUBLISHED_TOWERS = 2  # with one gate a step


class _Block(NamedTuple):
    """What a block's backward pass needs; all but its input in the type of the products."""

    mixed: Tensor
    hidden: Tensor
    down: Tensor
    up: Tensor


class IntraRecurrence(torch.autograd.Function):
    """s_k = block_k(s_{k-1} + gate_k (state_k - s_{k-1})); `first` is s_0, zeros where None.

    Arguments: first [item, hidden], logits [step], one state a step, then four weights a step. Returns the last s.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor | None, logits: Tensor, *states_and_weights: Tensor) -> Tensor:
        states, weights = states_and_weights[: len(logits)], states_and_weights[len(logits) :]
        gates, dtype, previous, blocks = torch.sigmoid(logits), product_dtype(states[0]), first, []
        for state, gate, of_block in zip(states, gates.unbind(), _by_block(weights), strict=True):
            if previous is None:
                mixed = state * gate
            else:  # only `first` is anybody else's
                mixed = torch.lerp(previous, state, gate) if previous is first else previous.lerp_(state, gate)
            previous, block = _forward(mixed, dtype, *of_block)
            blocks.append(block)
        assert previous is not None, "at least one step"
        ctx.save_for_backward(gates, *states, *(tensor for block in blocks for tensor in block))
        return previous

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gates, *saved = ctx.saved_tensors
        states, blocks = _split(saved, num_states=len(gates))
        needs_first, _, *needs = ctx.needs_input_grad
        to_first, with_states, with_mixed, to_states = gradient.clone(), [], [], []
        to_weights: list[tuple[Tensor, ...]] = []
        passes = (1 - gates).unbind()
        for step in reversed(range(len(gates))):
            state, block = states[step], blocks[step]
            to_weights.append(_backward(to_first, block))
            with_states.append(_dot(to_first, state))
            with_mixed.append(_dot(to_first, block.mixed))
            to_states.append(to_first * gates[step] if needs[step] else None)
            if step or needs_first:
                to_first.mul_(passes[step])
        of_logits = _differences(with_states, with_mixed) * gates
        return to_first if needs_first else None, of_logits, *to_states[::-1], *_in_order(to_weights)


class InterRecurrence(torch.autograd.Function):
    """m_k = block_k(m_{k-1} + sum_t w_k^t state_k^t); m_0 is zeros, and the weights are those of `weights_of_towers`.

    Arguments: logits [step] of two towers or [step, tower - 1] of more; then the states of one tower after another's,
    one a step; then four weights a step. Returns the last m. A state needs a gradient where it was aligned.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, *states_and_weights: Tensor) -> Tensor:
        weights_of_all = weights_of_towers(logits)
        num_steps, num_towers = weights_of_all.shape
        states = states_and_weights[: num_steps * num_towers]
        shares, dtype, blocks = _by_step(weights_of_all), product_dtype(states[0]), []
        previous: Tensor | None = None
        weights = _by_block(states_and_weights[len(states) :])
        for step, of_block in enumerate(weights):
            mixed = fuse(states[step::num_steps], shares[step])
            if previous is not None:
                mixed.add_(previous)
            previous, block = _forward(mixed, dtype, *of_block)
            blocks.append(block)
        assert previous is not None, "at least one step"
        ctx.takes_vector = logits.ndim == 1
        ctx.save_for_backward(weights_of_all, *states, *(tensor for block in blocks for tensor in block))
        return previous

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weights_of_all, *saved = ctx.saved_tensors
        num_steps, num_towers = weights_of_all.shape
        states, blocks = _split(saved, num_states=num_steps * num_towers)
        _, *needs = ctx.needs_input_grad
        shares, to_mixed, with_states = _by_step(weights_of_all), gradient.clone(), []
        to_states: list[Tensor | None] = [None] * len(states)
        to_weights: list[tuple[Tensor, ...]] = []
        for step in reversed(range(num_steps)):
            to_weights.append(_backward(to_mixed, blocks[step]))
            places = range(step, len(states), num_steps)
            with_states += [_dot(to_mixed, states[place]) for place in reversed(places)]
            for place, share in zip(places, shares[step], strict=True):
                to_states[place] = to_mixed * share if needs[place] else None
        of_weights = torch.stack(with_states[::-1]).view_as(weights_of_all)
        of_logits = _through_softmax(of_weights, weights_of_all)
        return of_logits[:, 0] if ctx.takes_vector else of_logits, *to_states, *_in_order(to_weights)


def weights_of_towers(logits: Float[Tensor, "step *fused"]) -> Float[Tensor, "step tower"]:
    """Return what the state of each tower weighs at each step: the softmax over the logits and, for the last tower, 0.

    Logits of two towers are one a step, whose sigmoid is the published gate.
    """
    if logits.ndim == 1:
        gates = torch.sigmoid(logits)
        return torch.stack([gates, 1 - gates], dim=-1)
    return torch.softmax(nn.functional.pad(logits, (0, 1)), dim=-1)


def fuse(states: Sequence[Tensor], shares: Sequence[Tensor]) -> Float[Tensor, "item hidden"]:
    """Return the weighted sum of what the towers have at one step, in new memory."""
    if len(states) == PUBLISHED_TOWERS:
        return torch.lerp(states[1], states[0], shares[0])
    mixed = states[0] * shares[0]
    for state, share in zip(states[1:], shares[1:], strict=True):
        mixed = torch.addcmul(mixed, state, share)
    return mixed


def _by_step(shares: Float[Tensor, "step tower"]) -> list[Sequence[Tensor]]:
    num_towers, numbers = shares.shape[1], shares.flatten().unbind()
    return [numbers[start : start + num_towers] for start in range(0, len(numbers), num_towers)]


def _through_softmax(
    gradient: Float[Tensor, "step tower"], weights: Float[Tensor, "step tower"]
) -> Float[Tensor, "step fused"]:
    """Return the logits' gradient from the weights', by differences: w_t sum_s w_s (g_t - g_s) loses no digits where
    one weight is nearly all."""
    differences = gradient[:, :-1, None] - gradient[:, None, :]
    return (differences * weights[:, :-1, None] * weights[:, None, :]).sum(-1)


def _by_block(weights: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    return [weights[start : start + _WEIGHTS] for start in range(0, len(weights), _WEIGHTS)]


def _split(saved: Sequence[Tensor], *, num_states: int) -> tuple[Sequence[Tensor], list[_Block]]:
    """Return the states, and the blocks."""
    size = len(_Block._fields)
    return saved[:num_states], [_Block(*saved[start : start + size]) for start in range(num_states, len(saved), size)]


def _in_order(to_weights: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """Return the weights' gradients, found from the last block to the first, in the order of the arguments."""
    return [gradient for of_block in reversed(to_weights) for gradient in of_block]


def _forward(
    mixed: Tensor, dtype: torch.dtype, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor
) -> tuple[Tensor, _Block]:
    """Return the block's output, which is new memory, and what its backward pass needs."""
    low_down, low_up = down.to(dtype), up.to(dtype)
    hidden = torch.addmm(down_bias.to(dtype), mixed.to(dtype), low_down.t()).relu_()
    if dtype == mixed.dtype:
        output = torch.add(mixed, up_bias).addmm_(hidden, low_up.t())
    else:
        output = mixed + torch.addmm(up_bias.to(dtype), hidden, low_up.t())
    return output, _Block(mixed, hidden, low_down, low_up)


def _backward(gradient: Tensor, block: _Block) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Make the gradient of the block's output that of its input, in place, and return its weights' in their order."""
    mixed, hidden, down, up = block
    whole, low = gradient.dtype, gradient.to(hidden.dtype)
    inner = torch.ops.aten.threshold_backward(low @ up, hidden, 0)
    to_weights = (
        (inner.t() @ mixed.to(inner.dtype)).to(whole),
        inner.sum(0, dtype=whole),
        (low.t() @ hidden).to(whole),
        gradient.sum(0),
    )
    if low is gradient:
        gradient.addmm_(inner, down)
    else:
        gradient.add_(inner @ down)
    return to_weights


def _differences(found: list[Tensor], others: list[Tensor]) -> Tensor:
    """Subtract numbers that were found from the last step to the first, and return them in the order of the steps."""
    return torch.stack(found[::-1]) - torch.stack(others[::-1])


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Return the sum of products, without a matrix of them."""
    return torch.dot(left.reshape(-1), right.reshape(-1))
