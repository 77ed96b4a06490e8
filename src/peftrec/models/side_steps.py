"""The side network's two recurrences as single autograd steps: mixture and block together, backward by hand.

They compute what `SideTower` spells out in plain operations (tests hold values and gradients together), for relu and
without autocast, and walk the memory fewer times between the matrix products.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def can_step(states: Tensor) -> bool:
    """Say whether the hand-written steps apply: states are frozen, and there is no autocast, whose casts belong between
    the plain operations."""
    return not states.requires_grad and not torch.is_autocast_enabled(states.device.type)


def _block(mixed: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor) -> tuple[Tensor, Tensor]:
    hidden = torch.addmm(down_bias, mixed, down.t()).relu_()
    return hidden, torch.add(mixed, up_bias).addmm_(hidden, up.t())


def _block_backward(
    gradient: Tensor, mixed: Tensor, hidden: Tensor, down: Tensor, up: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Return the gradient of the block's input, and of its weights in the order of `_block`'s arguments."""
    inner = torch.ops.aten.threshold_backward(gradient @ up, hidden, 0)
    weights = (inner.t() @ mixed, inner.sum(0), gradient.t() @ hidden, gradient.sum(0))
    return torch.addmm(gradient, inner, down), weights


class IntraStep(torch.autograd.Function):
    """block(previous + gate (state - previous)); `state` is frozen."""

    @staticmethod
    def forward(ctx: Any, previous: Tensor, state: Tensor, gate: Tensor, *weights: Tensor) -> Tensor:
        mixed = torch.lerp(previous, state, gate)
        hidden, output = _block(mixed, *weights)
        ctx.save_for_backward(previous, state, gate, mixed, hidden, weights[0], weights[2])
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        previous, state, gate, mixed, hidden, down, up = ctx.saved_tensors
        to_mixed, to_weights = _block_backward(gradient, mixed, hidden, down, up)
        to_gate = torch.sum(to_mixed * (state - previous))
        to_previous = to_mixed.mul_(1 - gate) if ctx.needs_input_grad[0] else None
        return to_previous, None, to_gate, *to_weights


class InterStep(torch.autograd.Function):
    """block(previous + text + gate (image - text)); `image` and `text` are frozen."""

    @staticmethod
    def forward(ctx: Any, previous: Tensor, image: Tensor, text: Tensor, gate: Tensor, *weights: Tensor) -> Tensor:
        mixed = torch.lerp(text, image, gate).add_(previous)
        hidden, output = _block(mixed, *weights)
        ctx.save_for_backward(image, text, mixed, hidden, weights[0], weights[2])
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, text, mixed, hidden, down, up = ctx.saved_tensors
        to_mixed, to_weights = _block_backward(gradient, mixed, hidden, down, up)
        to_gate = torch.sum(to_mixed * (image - text))
        return to_mixed if ctx.needs_input_grad[0] else None, None, None, to_gate, *to_weights
