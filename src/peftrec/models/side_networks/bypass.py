"""The bypass of Res-Tuning (Jiang et al., NeurIPS 2023, arXiv:2310.19859), one beside each tower:

    x_0 = h_0
    x_k = T_k(h_k) + T'_k(x_{k-1})          T(x) = x + W_2 gelu(W_1 x + b_1) + b_2      W_1: d -> m, W_2: m -> d
    output = norm(x_K)

h_0 is the embedding layer's state, h_1 to h_K those of the blocks that are read; T_k is the lateral and T'_k the
vertical tuner. This is the network of the authors' code (modelscope/ms-swift, tuners/restuning.py), which weighs both
terms by one where the paper writes a factor. Every operation acts on one token, so that on states that are pooled by
their first token it computes what it would compute there for that token. What differs, and why:

- The norm has no weights of its own. There, the bypass is what the tower's last norm reads; a store holds no weights,
  and BERT has no norm after its blocks. Without one, the bypass, near the sum of all states, would be many times as
  long as what a head is made for.
- With `pooling=mean` the mean is taken before the tuners, and not after them.
"""

from jaxtyping import Float
from torch import Tensor, nn

_BIAS_DEVIATION = 1e-6  # of the authors' code


class ResidualTuner(nn.Module):
    """A bottleneck and its input."""

    def __init__(self, width: int, *, bottleneck: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        for layer in (self.down, self.up):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=_BIAS_DEVIATION)

    def forward(self, states: Float[Tensor, "item hidden"]) -> Float[Tensor, "item hidden"]:
        return states + self.up(nn.functional.gelu(self.down(states)))


class Bypass(nn.Module):
    """Lateral and vertical tuners beside one tower."""

    def __init__(self, width: int, *, num_layers: int, bottleneck: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ResidualTuner(width, bottleneck=bottleneck) for _ in range(num_layers))
        self.vertical = nn.ModuleList(ResidualTuner(width, bottleneck=bottleneck) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, states: Float[Tensor, "item state hidden"]) -> Float[Tensor, "item hidden"]:
        """Pass over one tower's states, the embedding layer's first."""
        bypass, *above = states.unbind(dim=1)
        for state, lateral, vertical in zip(above, self.lateral, self.vertical, strict=True):
            bypass = lateral(state) + vertical(bypass)
        return self.norm(bypass)
