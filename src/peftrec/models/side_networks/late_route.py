"""SHERL (Diao et al., ECCV 2024, arXiv:2407.07523) with its late route, a network beside each tower:

    z_i = norm(W_i h_i + b_i)                             h_i: what enters block i = 0 .. L-1, each token for itself
    rho_i = sum over j < L-1 of relu(cos(z_i, z_j))       how much the others say the same, itself included
    a_i = l1norm_i(relu(w . (z_i * g) + b_w) / rho_i)     i < L-1;  g = z_{L-1} guides
    u = g + sum_i a_i z_i
    x = dropout(norm(V relu(u) + b_V)) + tanh(theta / 0.1) h_{L-1}          theta from 0

The frozen last block runs on x in place of h_{L-1}, and there alone are gradients inside a tower. With theta at 0 the
tower's own stream is cut off when training starts. This is the network of the authors' code for BERT
(Paranioar/SHERL, VSE-infty/lib/adapter_for_transformer.py). What differs:

- The tower's vector is pooled as the tower's is; there a projection and learned pooling follow.
- An image tower has the same network, whose tokens are patches; there images are read by a convolutional network.
- Frozen towers run in evaluation mode, so that dropout is the network's own alone.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.side_networks.side_network import GATE_TEMPERATURE
from peftrec.models.towers.tower import Tower

_LEAST_SUM = 1e-6
"""What weights are divided by at least: where no state has a positive weight, the guide is left alone."""
_OUTER_NORM_EPS = 1e-12  # BERT's, as in the authors' code


class LateRoute(nn.Module):
    """What stands beside one tower."""

    def __init__(self, width: int, *, num_blocks: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(nn.Linear(width, inner), nn.LayerNorm(inner)) for _ in range(num_blocks)
        )
        self.attention = nn.Linear(inner, 1)
        self.outer = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps=_OUTER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, tower: Tower, inputs: Any) -> Float[Tensor, "item hidden"]:
        """Encode items by the tower, whose last block reads what this network makes of all that went before."""
        below: list[Tensor] = []

        def read(place: int, tokens: Float[Tensor, "item token hidden"]) -> Tensor | None:
            below.append(self.down[place](tokens))
            return None if place < len(self.down) - 1 else self._routed(below, tokens)

        with tower.visiting(on_input=read):
            return tower(inputs)

    def _routed(self, below: list[Tensor], last: Float[Tensor, "item token hidden"]) -> Tensor:
        *shallow, guide = below
        merged = guide + _without_redundancy(torch.stack(shallow, dim=2), guide, self.attention)
        return self.dropout(self.norm(self.outer(merged.relu()))) + torch.tanh(self.gate / GATE_TEMPERATURE) * last


def _without_redundancy(
    states: Float[Tensor, "item token state side"], guide: Float[Tensor, "item token side"], attention: nn.Module
) -> Float[Tensor, "item token side"]:
    """Weigh each token's states by what the guide asks for, the less the more the others say the same."""
    directions = nn.functional.normalize(states, dim=-1, eps=_LEAST_SUM)
    redundancy = (directions @ directions.transpose(-1, -2)).relu().sum(dim=-1, keepdim=True)
    weights = attention(states * guide.unsqueeze(2)).relu() / redundancy
    weights = weights / weights.sum(dim=2, keepdim=True).clamp(min=_LEAST_SUM)
    return (weights * states).sum(dim=2)
