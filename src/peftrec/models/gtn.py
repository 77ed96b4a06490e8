"""What both uses of Gated Transformer Networks share (Liu et al., arXiv:2103.14438): a tower and the gate.

A series of steps and channels is read twice, by towers that differ in what a token is:

step tower      a token is a step, the vector of its channels; with sinusoidal positions
channel tower   a token is a channel, the vector of its steps; without positions, for channels have no order

z = W x + b (+ position)
z = LayerNorm(z + dropout(attention(z)))                      these two lines once a block
z = LayerNorm(z + dropout(W2 relu(W1 z + b1) + b2))

g = softmax(W [s; c] + b) in R^2                              s and c: what the two towers say
y = [g_1 s; g_2 c]

This is the form of the published code. The paper's text has a tanh after the first layer and one more layer between
tower and gate. Keys have no bias, unlike there: it would add the same to all scores of a query, which softmax forgets.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from peftrec.models.gtn_shape import TowerShape

_SLOWEST_WAVE = 10_000.0  # Vaswani et al., arXiv:1706.03762, section 3.5


class Attention(nn.Module):
    """Multi-head self-attention; dropout on its output alone, as published."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        width = shape.num_heads * shape.head_width
        self.num_heads = shape.num_heads
        self.query = nn.Linear(shape.dim, width)
        self.key = nn.Linear(shape.dim, width, bias=False)
        self.value = nn.Linear(shape.dim, width)
        self.out = nn.Linear(width, shape.dim)

    def forward(
        self, tokens: Float[Tensor, "series token dim"], visible: Bool[Tensor, "series token token"] | None
    ) -> Float[Tensor, "series token dim"]:
        query, key, value = (
            rearrange(layer(tokens), "series token (head width) -> series head token width", head=self.num_heads)
            for layer in (self.query, self.key, self.value)
        )
        mask = None if visible is None else visible[:, None]
        attended = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        merged = rearrange(attended, "series head token width -> series token (head width)")
        out: Tensor = self.out(merged)
        return out


class Block(nn.Module):
    """Attention, then feed-forward, each with residual and norm (post-norm)."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self.attention = Attention(shape)
        self.feed_forward = nn.Sequential(
            nn.Linear(shape.dim, shape.hidden), nn.ReLU(), nn.Linear(shape.hidden, shape.dim)
        )
        self.attention_norm = nn.LayerNorm(shape.dim)
        self.feed_forward_norm = nn.LayerNorm(shape.dim)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(
        self, tokens: Float[Tensor, "series token dim"], visible: Bool[Tensor, "series token token"] | None
    ) -> Float[Tensor, "series token dim"]:
        attended = self.attention_norm(tokens + self.dropout(self.attention(tokens, visible)))
        normed: Tensor = self.feed_forward_norm(attended + self.dropout(self.feed_forward(attended)))
        return normed


class Tower(nn.Module):
    """A linear layer, positions where there are some, then blocks."""

    positions: Tensor | None

    def __init__(self, num_features: int, shape: TowerShape, *, num_positions: int | None = None) -> None:
        super().__init__()
        self.embedding = nn.Linear(num_features, shape.dim)
        positions = None if num_positions is None else sinusoidal_positions(num_positions, shape.dim)
        self.register_buffer("positions", positions, persistent=False)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.num_blocks))

    def forward(
        self,
        features: Float[Tensor, "series token feature"],
        visible: Bool[Tensor, "series token token"] | None = None,
    ) -> Float[Tensor, "series token dim"]:
        """Encode tokens; `visible[:, i, j]` says whether token i may look at token j; by default it may."""
        tokens: Tensor = self.embedding(features)
        if self.positions is not None:
            tokens = tokens + self.positions[: tokens.shape[1]]
        for block in self.blocks:
            tokens = block(tokens, visible)
        return tokens


@dataclass(frozen=True, kw_only=True)
class Gated:
    """What a gate lets through."""

    features: Float[Tensor, "*batch feature"]
    """Weighted features of the step tower, then those of the channel tower."""
    weights: Float[Tensor, "*batch 2"]
    """Weight of the step tower and of the channel tower; they sum to 1."""


class Gate(nn.Module):
    """Weighs the two towers against each other, for each series anew."""

    def __init__(self, num_step_features: int, num_channel_features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(num_step_features + num_channel_features, 2)

    def forward(
        self, steps: Float[Tensor, "*batch step_feature"], channels: Float[Tensor, "*batch channel_feature"]
    ) -> Gated:
        weights = self.layer(torch.cat([steps, channels], dim=-1)).softmax(dim=-1)
        return Gated(
            features=torch.cat([weights[..., :1] * steps, weights[..., 1:] * channels], dim=-1), weights=weights
        )


def sinusoidal_positions(num_positions: int, dim: int) -> Float[Tensor, "position dim"]:
    """Return a sine and a cosine of each of dim / 2 wave lengths, from 2 pi to nearly 2 pi x 10,000."""
    rates = _SLOWEST_WAVE ** (-torch.arange(0, dim, 2) / dim)
    angles = torch.outer(torch.arange(num_positions), rates)
    positions = torch.empty(num_positions, dim)
    positions[:, 0::2] = angles.sin()
    positions[:, 1::2] = angles.cos()[:, : dim // 2]
    return positions
