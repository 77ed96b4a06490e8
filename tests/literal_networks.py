"""A network on states of frozen towers, spelled out item by item around what stands beside each tower."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from peftrec.models.side_networks.states_network import StatesNetwork
from peftrec.models.towers.names import Modality

LiteralPart = Callable[[dict[str, Tensor], Tensor], Tensor]
"""Gets what stands beside a tower by its parameters' names, and one item's states; returns its vector."""


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Normalise one vector, as LayerNorm does."""
    centred = x - x.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt() * weight + bias


def below(prefix: str, of: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in of.items() if name.startswith(prefix)}


def literal_network(network: StatesNetwork, states: dict[Modality, Tensor], part: LiteralPart) -> Tensor:
    """Fuse what `part` makes of each item's states."""
    of = dict(network.named_parameters())
    items = []
    for item in range(len(next(iter(states.values())))):
        projected = []
        for name, tensor in states.items():
            vector = part(below(f"beside.{name}.", of), tensor[item])
            projected.append(gelu(of[f"head.project.{name}.weight"] @ vector + of[f"head.project.{name}.bias"]))
        items.append(of["head.fusion.weight"] @ torch.cat(projected) + of["head.fusion.bias"])
    return torch.stack(items)


def assert_computes(network: StatesNetwork, states: dict[Modality, Tensor], part: LiteralPart) -> None:
    """Compare a network of float64 with the literal one: values, and gradients of every parameter."""
    parameters = dict(network.named_parameters())
    found, expected = network(states), literal_network(network, states, part)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    gradients = [torch.autograd.grad(out.pow(3).sum(), list(parameters.values())) for out in (found, expected)]
    for name, one, other in zip(parameters, *gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8, msg=name)
