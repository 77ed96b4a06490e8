"""The side network's two recurrences as single autograd steps: mixture and block together, backward by hand.

They compute what `SideTower` spells out in plain operations (tests hold values and gradients together), for relu. They
walk the memory fewer times between the matrix products, and keep of a block only its input and its bottleneck: a gate
gets its gradient at its logit, where

    d(mixture) / d(logit) = (state - mixture) gate        gate = sigmoid(logit)

needs no more, and holds where the gate is shut or open to the last bit. Under autocast the products take its type and
everything between blocks stays as it is, as autocast would have it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def product_dtype(states: Tensor) -> torch.dtype:
    """Return the type that matrix products take now: autocast's, else that of the states."""
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype


def _block(
    mixed: Tensor, dtype: torch.dtype, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Return the block's output, and what its backward pass needs besides its input, in the type of the products."""
    low_down, low_up = down.to(dtype), up.to(dtype)
    hidden = torch.addmm(down_bias.to(dtype), mixed.to(dtype), low_down.t()).relu_()
    if dtype == mixed.dtype:
        output = torch.add(mixed, up_bias).addmm_(hidden, low_up.t())
    else:
        output = mixed + torch.addmm(up_bias.to(dtype), hidden, low_up.t())
    return output, (hidden, low_down, low_up)


def _block_backward(
    gradient: Tensor, mixed: Tensor, hidden: Tensor, down: Tensor, up: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Return the gradient of the block's input, and of its weights in the order of `_block`'s arguments."""
    whole, low = gradient.dtype, gradient.to(hidden.dtype)
    inner = torch.ops.aten.threshold_backward(low @ up, hidden, 0)
    weights = (
        (inner.t() @ mixed.to(inner.dtype)).to(whole),
        inner.sum(0, dtype=whole),
        (low.t() @ hidden).to(whole),
        gradient.sum(0),
    )
    to_mixed = torch.addmm(gradient, inner, down) if low is gradient else torch.mm(inner, down).to(whole).add_(gradient)
    return to_mixed, weights


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Return the sum of products, without a matrix of them."""
    return torch.dot(left.reshape(-1), right.reshape(-1))


class IntraStep(torch.autograd.Function):
    """block(previous + gate (state - previous))."""

    @staticmethod
    def forward(ctx: Any, previous: Tensor, state: Tensor, logit: Tensor, *weights: Tensor) -> Tensor:
        gate = torch.sigmoid(logit)
        mixed = torch.lerp(previous, state, gate)
        output, needed = _block(mixed, product_dtype(mixed), *weights)
        ctx.save_for_backward(mixed, state, gate, *needed)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        mixed, state, gate, hidden, down, up = ctx.saved_tensors
        to_mixed, to_weights = _block_backward(gradient, mixed, hidden, down, up)
        to_logit = (_dot(to_mixed, state) - _dot(to_mixed, mixed)) * gate
        to_state = to_mixed * gate if ctx.needs_input_grad[1] else None
        to_previous = to_mixed.mul_(1 - gate) if ctx.needs_input_grad[0] else None
        return to_previous, to_state, to_logit, *to_weights


class InterStep(torch.autograd.Function):
    """block(previous + text + gate (image - text)); a state needs a gradient where it was aligned."""

    @staticmethod
    def forward(ctx: Any, previous: Tensor, image: Tensor, text: Tensor, logit: Tensor, *weights: Tensor) -> Tensor:
        gate = torch.sigmoid(logit)
        mixed = torch.lerp(text, image, gate).add_(previous)
        output, needed = _block(mixed, product_dtype(mixed), *weights)
        ctx.save_for_backward(mixed, image, text, gate, *needed)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        mixed, image, text, gate, hidden, down, up = ctx.saved_tensors
        to_mixed, to_weights = _block_backward(gradient, mixed, hidden, down, up)
        to_logit = (_dot(to_mixed, image) - _dot(to_mixed, text)) * gate * (1 - gate)
        to_previous = to_mixed if ctx.needs_input_grad[0] else None
        to_image = to_mixed * gate if ctx.needs_input_grad[1] else None
        to_text = to_mixed * (1 - gate) if ctx.needs_input_grad[2] else None
        return to_previous, to_image, to_text, to_logit, *to_weights
