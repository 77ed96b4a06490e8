"""The bypass of Res-Tuning against a literal one from the equations, and what it makes of states that are pooled."""

import pytest
import torch
from torch import Tensor

from literal_networks import assert_computes, gelu
from peftrec.models.side_networks.bypass import Bypass
from peftrec.models.side_networks.states_network import StatesNetwork
from peftrec.models.towers.names import Modality

SHAPES: dict[Modality, tuple[int, int]] = {"image": (3, 8), "text": (5, 12)}
"""States and width of each tower; text is deeper and wider."""
BOTTLENECK, DIM, NUM_ITEMS, NUM_TOKENS = 4, 3, 6, 7


def network_of(*modalities: Modality) -> StatesNetwork:
    widths = {name: SHAPES[name][1] for name in modalities}
    bypasses = {
        name: Bypass(width, num_layers=SHAPES[name][0] - 1, bottleneck=BOTTLENECK) for name, width in widths.items()
    }
    network = StatesNetwork(bypasses, widths, embedding_dim=DIM)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return network.double()


def states_of(*modalities: Modality) -> dict[Modality, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(NUM_ITEMS, *SHAPES[name], generator=generator).double() for name in modalities}


def literal_tuner(of: dict[str, Tensor], place: str, x: Tensor) -> Tensor:
    inner = gelu(of[f"{place}.down.weight"] @ x + of[f"{place}.down.bias"])
    return x + of[f"{place}.up.weight"] @ inner + of[f"{place}.up.bias"]


def literal_bypass(of: dict[str, Tensor], states: Tensor) -> Tensor:
    """Pass for one item, one state after the other."""
    x = states[0]
    for k, h in enumerate(states[1:]):
        x = literal_tuner(of, f"lateral.{k}", h) + literal_tuner(of, f"vertical.{k}", x)
    centred = x - x.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt()


@pytest.mark.parametrize("modalities", [("image", "text"), ("text",)])
def test_it_computes_the_equations_and_their_gradients(modalities: tuple[Modality, ...]) -> None:
    assert_computes(network_of(*modalities), states_of(*modalities), literal_bypass)


def test_of_states_pooled_by_their_first_token_it_makes_what_it_makes_of_that_token() -> None:
    bypass = network_of("text").beside["text"]
    assert isinstance(bypass, Bypass)
    num_states, width = SHAPES["text"]
    tokens = torch.randn(NUM_ITEMS, NUM_TOKENS, num_states, width, dtype=torch.float64)
    of_every_token = bypass(tokens.flatten(0, 1)).unflatten(0, (NUM_ITEMS, NUM_TOKENS))
    torch.testing.assert_close(bypass(tokens[:, 0]), of_every_token[:, 0])


def test_it_starts_near_the_sum_of_all_states() -> None:
    bypass = Bypass(12, num_layers=4, bottleneck=BOTTLENECK).double()
    for name, parameter in bypass.named_parameters():
        if name.endswith("weight"):
            torch.nn.init.zeros_(parameter)
    states = states_of("text")["text"]
    expected = torch.nn.functional.layer_norm(states.sum(dim=1), (12,))
    torch.testing.assert_close(bypass(states), expected, rtol=1e-4, atol=1e-4)
