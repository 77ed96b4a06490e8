"""QST's ladder against a literal one from the equations: values, gradients of every parameter, and how it starts."""

import pytest
import torch
from torch import Tensor

from literal_networks import assert_computes, below, gelu, norm
from low_precision import autocast_error
from peftrec.models.side_networks.low_rank_ladder import LowRankLadder
from peftrec.models.side_networks.states_network import StatesNetwork
from peftrec.models.towers.names import Modality

SHAPES: dict[Modality, tuple[int, int]] = {"image": (4, 8), "text": (6, 12)}
"""States and width of each tower, its vector included; text is deeper and wider."""
SIDE, RANK, DIM, NUM_ITEMS = 3, 2, 3, 6


def network_of(*modalities: Modality) -> StatesNetwork:
    widths = {name: SHAPES[name][1] for name in modalities}
    ladders = {
        name: LowRankLadder(width, side=SIDE, rank=RANK, num_layers=SHAPES[name][0] - 2)
        for name, width in widths.items()
    }
    network = StatesNetwork(ladders, widths, embedding_dim=DIM)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator))
    return network.double()


def states_of(*modalities: Modality, dtype: torch.dtype = torch.float64) -> dict[Modality, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(NUM_ITEMS, *SHAPES[name], generator=generator, dtype=dtype) for name in modalities}


def sigma(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def downsampled(of: dict[str, Tensor], k: int, h: Tensor) -> Tensor:
    inner = of[f"rungs.{k}.0.weight"] @ h
    return norm(of[f"rungs.{k}.2.weight"] @ (inner * sigma(inner)), of[f"rungs.{k}.3.weight"], of[f"rungs.{k}.3.bias"])


def literal_ladder(of: dict[str, Tensor], states: Tensor) -> Tensor:
    """The authors' loop for one item: its first downsampling twice, on the embedding and on the first state."""
    *hidden, v = states
    s = downsampled(of, 0, hidden[0])
    for k, h in enumerate(hidden[1:]):
        z = sigma(of["gates"][k])
        s = (1 - z) * downsampled(of, k, h) + z * s
        layer = below(f"layers.{k}.", of)
        inner = layer["inner.weight"] @ norm(s, layer["norm.weight"], layer["norm.bias"]) + layer["inner.bias"]
        s = s + layer["outer.weight"] @ gelu(inner) + layer["outer.bias"]
    zeta = sigma(of["vector_gate"])
    return (1 - zeta) * (of["up.weight"] @ norm(s, of["norm.weight"], of["norm.bias"]) + of["up.bias"]) + zeta * v


@pytest.mark.parametrize("modalities", [("image", "text"), ("text",), ("image",)], ids="+".join)
def test_it_computes_the_equations_and_their_gradients(modalities: tuple[Modality, ...]) -> None:
    assert_computes(network_of(*modalities), states_of(*modalities), literal_ladder)


def test_gates_start_as_published() -> None:
    """sigmoid(0.5) = 0.62 of what was before, and sigmoid(1) = 0.73 of the tower's own vector; one gate a channel."""
    ladder = LowRankLadder(8, side=4, rank=2, num_layers=3).double()
    assert ladder.gates.shape == (3, 4)
    assert ladder.vector_gate.shape == (8,)
    assert set(ladder.gates.flatten().tolist()) == {0.5}
    assert set(ladder.vector_gate.tolist()) == {1.0}
    with torch.no_grad():
        ladder.up.weight.zero_()
        ladder.up.bias.zero_()
    states = torch.randn(5, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(ladder(states), states[:, -1] / (1 + torch.exp(torch.tensor(-1.0, dtype=torch.float64))))


def test_the_first_rung_serves_the_embedding_layers_state_too() -> None:
    ladder = LowRankLadder(8, side=4, rank=2, num_layers=1).double()
    with torch.no_grad():
        for parameter in ladder.layers.parameters():
            parameter.zero_()
    state, vector = torch.randn(2, 5, 8, dtype=torch.float64)
    gate = torch.sigmoid(ladder.vector_gate)
    expected = (1 - gate) * ladder.up(ladder.norm(ladder.rungs[0](state))) + gate * vector
    torch.testing.assert_close(ladder(torch.stack([state, state, vector], dim=1)), expected)


@pytest.mark.parametrize(
    ("hidden", "side", "rank", "num_layers"), [(768, 48, 16, 12), (768, 48, 16, 6), (384, 96, 8, 3), (16, 16, 1, 1)]
)
def test_counts(hidden: int, side: int, rank: int, num_layers: int) -> None:
    side_layer = 2 * side + (side * 4 * side + 4 * side) + (4 * side * side + side)
    rung = hidden * rank + rank * side + 2 * side
    expected = num_layers * (rung + side + side_layer) + 2 * side + (side * hidden + hidden) + hidden
    ladder = LowRankLadder(hidden, side=side, rank=rank, num_layers=num_layers)
    assert sum(parameter.numel() for parameter in ladder.parameters()) == expected


def test_under_autocast_gradients_come_near() -> None:
    network, states = network_of("image", "text").float(), states_of("image", "text", dtype=torch.float32)
    assert 0 < autocast_error(network, states) < 0.05
