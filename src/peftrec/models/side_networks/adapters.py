"""Bottlenecks in the blocks of a tower: behind a layer (Houlsby et al., arXiv:1902.00751) or beside a sublayer (He et
al., arXiv:2110.04366).

An adapter beside a feed-forward network keeps its part between the network's two ends, because no module of
transformers spans one in every family. Pfeiffer's stands before residual and norm, which blocks of either order have;
the papers put it behind BERT's.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.side_networks.side_network import SideBlock


class AdaptedLinear(nn.Module):
    """A pretrained layer followed by an adapter."""

    def __init__(self, layer: nn.Module, adapter: SideBlock) -> None:
        super().__init__()
        self.layer = layer
        self.adapter = adapter

    def forward(self, states: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch out"]:
        return self.adapter(self.layer(states))


class BesideSublayer(nn.Module):
    """Wraps the layer that reads a sublayer's input: it computes the adapter's part there and keeps it."""

    def __init__(self, layer: nn.Module, *, width: int, bottleneck: int, scale: float) -> None:
        super().__init__()
        self.layer = layer
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.scale = scale
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))  # as LoRA's A
        for tensor in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(tensor)
        self._part: Tensor | None = None

    def forward(self, states: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch out"]:
        self._part = self.scale * self.up(nn.functional.relu(self.down(states)))
        return self.layer(states)

    def take(self) -> Float[Tensor, "*batch hidden"]:
        """Hand over, once, what the adapter made of the sublayer's input."""
        part, self._part = self._part, None
        assert part is not None
        return part


class EndOfSublayer(nn.Module):
    """Wraps the layer that gives a sublayer's output, and adds the adapter's part."""

    def __init__(self, layer: nn.Module, beside: BesideSublayer) -> None:
        super().__init__()
        self.layer = layer
        self._take = beside.take  # not the module itself, which has its place in the tower

    def forward(self, states: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch out"]:
        return self.layer(states) + self._take()
