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
from torch import Tensor
from torch.autograd.function import once_differentiable

from peftrec.models.precision import product_dtype

_WEIGHTS = 4  # of a block: down, its bias, up, its bias


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
        states, blocks = _split(saved, num_steps=len(gates))
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
    """m_k = block_k(m_{k-1} + text_k + gate_k (image_k - text_k)); m_0 is zeros.

    Arguments: logits [step], one image state a step, one text state a step, then four weights a step. Returns the last
    m. A state needs a gradient where it was aligned.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, *states_and_weights: Tensor) -> Tensor:
        num_steps = len(logits)
        images, texts = states_and_weights[:num_steps], states_and_weights[num_steps : 2 * num_steps]
        gates, dtype, blocks = torch.sigmoid(logits), product_dtype(images[0]), []
        previous: Tensor | None = None
        weights = _by_block(states_and_weights[2 * num_steps :])
        for image, text, gate, of_block in zip(images, texts, gates.unbind(), weights, strict=True):
            mixed = torch.lerp(text, image, gate)
            if previous is not None:
                mixed.add_(previous)
            previous, block = _forward(mixed, dtype, *of_block)
            blocks.append(block)
        assert previous is not None, "at least one step"
        ctx.save_for_backward(gates, *images, *texts, *(tensor for block in blocks for tensor in block))
        return previous

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gates, *saved = ctx.saved_tensors
        num_steps = len(gates)
        images, saved = saved[:num_steps], saved[num_steps:]
        texts, blocks = _split(saved, num_steps=num_steps)
        _, *needs = ctx.needs_input_grad
        to_mixed, with_images, with_texts, to_images, to_texts = gradient.clone(), [], [], [], []
        to_weights: list[tuple[Tensor, ...]] = []
        for step in reversed(range(num_steps)):
            to_weights.append(_backward(to_mixed, blocks[step]))
            with_images.append(_dot(to_mixed, images[step]))
            with_texts.append(_dot(to_mixed, texts[step]))
            to_images.append(to_mixed * gates[step] if needs[step] else None)
            to_texts.append(to_mixed * (1 - gates[step]) if needs[num_steps + step] else None)
        of_logits = _differences(with_images, with_texts) * gates * (1 - gates)
        return of_logits, *to_images[::-1], *to_texts[::-1], *_in_order(to_weights)


def _by_block(weights: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    return [weights[start : start + _WEIGHTS] for start in range(0, len(weights), _WEIGHTS)]


def _split(saved: Sequence[Tensor], *, num_steps: int) -> tuple[Sequence[Tensor], list[_Block]]:
    """Return one state a step, and the blocks."""
    size = len(_Block._fields)
    return saved[:num_steps], [_Block(*saved[start : start + size]) for start in range(num_steps, len(saved), size)]


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
