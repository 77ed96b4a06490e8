"""The ladder against a literal one from the equations: values, and gradients of every parameter."""

import pytest
import torch
from torch import Tensor

from literal_networks import assert_computes, below, gelu, norm
from low_precision import autocast_error
from peftrec.models.side_networks.ladder import Ladder
from peftrec.models.side_networks.states_network import StatesNetwork
from peftrec.models.towers.names import Modality

SHAPES: dict[Modality, tuple[int, int]] = {"image": (3, 8), "text": (5, 12)}
"""States and width of each tower; text is deeper and wider."""
REDUCTION, DIM, NUM_ITEMS = 4, 3, 6


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = 0.1 if name.endswith("gates") else 0.5  # a gate of 0.1 opens to 0.73
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return network.double()


def network_of(*modalities: Modality) -> StatesNetwork:
    widths = {name: SHAPES[name][1] for name in modalities}
    ladders = {
        name: Ladder(width, side=width // REDUCTION, num_layers=SHAPES[name][0] - 1) for name, width in widths.items()
    }
    network = StatesNetwork(ladders, widths, embedding_dim=DIM)
    assert isinstance(randomised(network), StatesNetwork)
    return network


def states_of(*modalities: Modality, dtype: torch.dtype = torch.float64) -> dict[Modality, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(NUM_ITEMS, *SHAPES[name], generator=generator, dtype=dtype) for name in modalities}


def literal_ladder(of: dict[str, Tensor], states: Tensor) -> Tensor:
    """Climb for one item, one state after the other."""
    s = of["first.weight"] @ states[0] + of["first.bias"]
    for k, h in enumerate(states[1:]):
        layer = below(f"layers.{k}.", of)
        mu = 1 / (1 + torch.exp(-of["gates"][k] / 0.1))
        s = mu * s + (1 - mu) * (of[f"rungs.{k}.weight"] @ h + of[f"rungs.{k}.bias"])
        inner = layer["inner.weight"] @ norm(s, layer["norm.weight"], layer["norm.bias"]) + layer["inner.bias"]
        s = s + layer["outer.weight"] @ gelu(inner) + layer["outer.bias"]
    return of["up.weight"] @ norm(s, of["norm.weight"], of["norm.bias"]) + of["up.bias"]


@pytest.mark.parametrize("modalities", [("image", "text"), ("text",), ("image",)], ids="+".join)
def test_agrees_with_a_literal_ladder(modalities: tuple[Modality, ...]) -> None:
    assert_computes(network_of(*modalities), states_of(*modalities), literal_ladder)


def test_gates_start_half_open() -> None:
    """alpha = 0, as published: the lowest state and the first rung's count alike."""
    ladder = Ladder(8, side=4, num_layers=1)
    assert ladder.gates.tolist() == [0.0]
    states = torch.randn(5, 2, 8)
    with torch.no_grad():
        for parameter in ladder.layers.parameters():
            parameter.zero_()
        mixed = (ladder.first(states[:, 0]) + ladder.rungs[0](states[:, 1])) / 2
        torch.testing.assert_close(ladder(states), ladder.up(ladder.norm(mixed)))


@pytest.mark.parametrize(("hidden", "reduction", "num_layers"), [(768, 8, 6), (768, 8, 12), (384, 4, 3), (16, 16, 1)])
def test_counts(hidden: int, reduction: int, num_layers: int) -> None:
    width = hidden // reduction
    side_layer = 2 * width + (width * 4 * width + 4 * width) + (4 * width * width + width)
    rungs = (num_layers + 1) * (hidden * width + width)
    expected = rungs + num_layers * (side_layer + 1) + 2 * width + width * hidden + hidden
    ladder = Ladder(hidden, side=width, num_layers=num_layers)
    assert sum(parameter.numel() for parameter in ladder.parameters()) == expected


def test_ladders_are_introduced_and_the_head_recommends() -> None:
    network = network_of("image", "text")
    introduced = {id(parameter) for parameter in network.introduced()}
    names = {name for name, parameter in network.named_parameters() if id(parameter) in introduced}
    assert names == {name for name, _ in network.named_parameters() if name.startswith("beside.")}


def test_under_autocast_gradients_come_near() -> None:
    network, states = network_of("image", "text").float(), states_of("image", "text", dtype=torch.float32)
    assert 0 < autocast_error(network, states) < 0.05
