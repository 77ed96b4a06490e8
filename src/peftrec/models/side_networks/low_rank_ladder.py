"""The side network of QST, Quantized Side Tuning (Zhang et al., ACL 2024, arXiv:2401.07159), one beside each tower:

    s_0 = D_1(h_0)
    s_k = layer_k((1 - sigmoid(z_k)) * D_k(h_k) + sigmoid(z_k) * s_{k-1})           z_k: d / r gates, from 0.5
    output = (1 - sigmoid(zeta)) * (U norm(s_K) + c) + sigmoid(zeta) * v            zeta: d gates, from 1
    D_k(h) = norm(B_k silu(A_k h))                A_k: d -> m, B_k: m -> d / r, U: d / r -> d

h_0 is the embedding layer's state, h_1 to h_K those of the blocks that are read, and v is the tower's vector. It is a
ladder (`ladder`) whose rungs are two thin matrices, whose gates are one a channel, and which starts near the tower's
vector. This is the network of the authors' code (YouAreSpecialToMe/QST, modeling_llama_qst.py), in which the first rung
serves the embedding layer's state too. What differs, and why:

- A hidden state is one vector an item here, pooled, as a store keeps it; there it is a sequence. Side layers are those
  of `ladder`, the half of a Transformer block that is left where there is one vector; there they are Llama's blocks.
- Norms are LayerNorm as in the towers here, where there some are Llama's RMSNorm.
- zeta trains wherever the model is; there it is moved to its device in a way that leaves it out of the parameters on
  any other than the CPU. There is no dropout; there the switch is turned around, and none is applied.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.side_networks.ladder import SideLayer

_GATE_START, _VECTOR_GATE_START = 0.5, 1.0  # of the authors' code


class LowRankLadder(nn.Module):
    """Rungs, gates and side layers beside one tower."""

    def __init__(self, hidden: int, *, side: int, rank: int, num_layers: int) -> None:
        super().__init__()
        self.rungs = nn.ModuleList(_rung(hidden, side, rank) for _ in range(num_layers))
        self.gates = nn.Parameter(torch.full((num_layers, side), _GATE_START))
        self.layers = nn.ModuleList(SideLayer(side) for _ in range(num_layers))
        self.norm = nn.LayerNorm(side)
        self.up = nn.Linear(side, hidden)
        self.vector_gate = nn.Parameter(torch.full((hidden,), _VECTOR_GATE_START))

    def forward(self, states: Float[Tensor, "item state hidden"]) -> Float[Tensor, "item hidden"]:
        """Climb over one tower's states, the embedding layer's first and the tower's vector last."""
        lowest, *above, vector = states.unbind(dim=1)
        side = self.rungs[0](lowest)
        gates = torch.sigmoid(self.gates).unbind()
        for state, rung, gate, layer in zip(above, self.rungs, gates, self.layers, strict=True):
            side = layer(gate * side + (1 - gate) * rung(state))
        gate = torch.sigmoid(self.vector_gate)
        return (1 - gate) * self.up(self.norm(side)) + gate * vector


def _rung(hidden: int, side: int, rank: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(hidden, rank, bias=False), nn.SiLU(), nn.Linear(rank, side, bias=False), nn.LayerNorm(side)
    )
