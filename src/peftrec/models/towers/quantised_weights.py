"""A tower's linear layers in eight bits: whole numbers, and a scale for each output of a layer.

    y = s * (Q x) + b          Q = round(W / s), from -127 to 127;  s: of each row of W its largest magnitude over 127

Biases, norms and embeddings stay as they are. A layer's bytes are those of its parameters, and nothing but these is
kept of it for the backward pass: its weight becomes floating-point numbers for the time of a product. (torchao's layers
keep those numbers until the backward pass; ARCHITECTURE.md has the figures.)
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

_LARGEST = 127


class QuantisedLinear(nn.Linear):
    """A frozen linear layer. Its weight has no gradient; what it reads, and its bias, may have one."""

    def __init__(
        self, weight: Int8[Tensor, "out hidden"], scale: Float[Tensor, " out"], bias: nn.Parameter | None
    ) -> None:
        nn.Module.__init__(self)  # not Linear's, which makes a weight of its own
        self.out_features, self.in_features = weight.shape
        self.scale = nn.Parameter(scale, requires_grad=False)  # first: a module's type is that of its first parameter
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_parameter("bias", bias)

    @classmethod
    @torch.no_grad()
    def of(cls, layer: nn.Linear) -> "QuantisedLinear":
        """Round a layer's weight; the bias stays the same parameter."""
        scale = layer.weight.abs().amax(dim=1) / _LARGEST
        divisor = scale.masked_fill(scale == 0, 1.0)  # a row of zeros
        return cls((layer.weight / divisor[:, None]).round().to(torch.int8), scale, layer.bias)

    def forward(self, states: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch out"]:
        product: Tensor = _Product.apply(states, self.weight, self.scale)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product + self.bias.to(product.dtype)

    @torch.no_grad()
    def restored(self) -> nn.Linear:
        """Return the layer with floating-point numbers, what rounding left of them."""
        layer = nn.Linear(self.in_features, self.out_features, device="meta")
        layer.weight = nn.Parameter(self.weight * self.scale[:, None], requires_grad=False)
        layer.register_parameter("bias", self.bias)
        return layer


class _Product(torch.autograd.Function):
    """A product with whole numbers, which become floating-point ones in each pass anew."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(weight, scale)
        product = nn.functional.linear(states, weight.to(states.dtype))  # under autocast of its type
        return product * scale.to(product.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        weight, scale = ctx.saved_tensors
        return (gradient * scale.to(gradient.dtype)) @ weight.to(gradient.dtype), None, None


def quantise(parts: Iterable[nn.Module]) -> None:
    """Put a quantised layer in the place of every linear one in the modules."""
    for part in parts:
        for path, layer in list(part.named_modules()):
            if type(layer) is nn.Linear:
                part.set_submodule(path, QuantisedLinear.of(layer))


def restore_weights(module: nn.Module) -> None:
    """Put plain layers in the place of quantised ones, within others that wrap them too."""
    for path, layer in list(module.named_modules()):
        if isinstance(layer, QuantisedLinear):
            module.set_submodule(path, layer.restored())
