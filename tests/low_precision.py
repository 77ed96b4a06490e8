"""How far autocast takes a network's gradients from their float32 values."""

import torch
from torch import Tensor, nn

from peftrec.models.towers.names import Modality


def autocast_error(network: nn.Module, states: dict[Modality, Tensor]) -> float:
    """Return the relative error of all gradients under bfloat16 autocast; they stay float32."""

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(network(states).square().sum(), list(network.parameters())))

    exact = gradients()
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients()
    assert all(gradient.dtype == torch.float32 for gradient in found)
    off = sum(float((low - high).square().sum()) for low, high in zip(found, exact, strict=True))
    return (off / sum(float(high.square().sum()) for high in exact)) ** 0.5
