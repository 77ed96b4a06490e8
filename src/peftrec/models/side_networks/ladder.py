"""The side network of Ladder Side-Tuning (LST; Sung, Cho & Bansal, NeurIPS 2022, arXiv:2206.06522), a ladder a tower:

    s_0 = V_0 h_0 + c_0
    s_k = layer_k(mu_k s_{k-1} + (1 - mu_k) (V_k h_k + c_k))      mu_k = sigmoid(alpha_k / 0.1), alpha_k from 0
    output = U norm(s_K) + c                                      V_k: d -> d / r, U: d / r -> d
    layer(s) = s + W_2 gelu(W_1 norm(s) + b_1) + b_2              d / r -> 4 d / r -> d / r

h_0 is the embedding layer's state, h_1 to h_K those of the blocks that are read: a block that is left out has no side
layer (the paper's layer dropping). What differs from the published code, and why:

- A hidden state is one vector an item here, pooled, as a store keeps it; there it is a sequence. Attention over one
  vector gives it weight 1 and is linear: a side layer is the other half of a Transformer block, pre-norm as T5's.
- Weights are drawn at random. There, side layers start from the backbone's weights, pruned by Fisher information; what
  reads a store has neither the backbone's weights nor its gradients.
- Norms are LayerNorm as in the towers here, and not T5's, and there is no dropout.

As in the published runs of LST, the backbone's own output is not added to the ladder's: its last state enters by the
last rung.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.side_networks.side_network import GATE_TEMPERATURE

_EXPANSION = 4  # of BERT's, ViT's and T5-base's feed-forward layers


class SideLayer(nn.Module):
    """The feed-forward half of a pre-norm Transformer block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, _EXPANSION * width)
        self.outer = nn.Linear(_EXPANSION * width, width)

    def forward(self, states: Float[Tensor, "item side"]) -> Float[Tensor, "item side"]:
        return states + self.outer(nn.functional.gelu(self.inner(self.norm(states))))


class Ladder(nn.Module):
    """Rungs, gates and side layers beside one tower."""

    def __init__(self, hidden: int, *, side: int, num_layers: int) -> None:
        super().__init__()
        self.first = nn.Linear(hidden, side)
        self.rungs = nn.ModuleList(nn.Linear(hidden, side) for _ in range(num_layers))
        self.gates = nn.Parameter(torch.zeros(num_layers))
        self.layers = nn.ModuleList(SideLayer(side) for _ in range(num_layers))
        self.norm = nn.LayerNorm(side)
        self.up = nn.Linear(side, hidden)

    def forward(self, states: Float[Tensor, "item state hidden"]) -> Float[Tensor, "item hidden"]:
        """Climb over one tower's states, the embedding layer's first."""
        lowest, *above = states.unbind(dim=1)
        side = self.first(lowest)
        gates = torch.sigmoid(self.gates / GATE_TEMPERATURE).unbind()
        for state, rung, gate, layer in zip(above, self.rungs, gates, self.layers, strict=True):
            side = layer(gate * side + (1 - gate) * rung(state))
        return self.up(self.norm(side))
