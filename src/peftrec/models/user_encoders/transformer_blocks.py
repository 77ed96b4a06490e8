"""Blocks of self-attention and feed-forward layers, each with residual and norm.

post   x = norm(x + dropout(layer(x)))        Vaswani et al., 2017; the published IISAN code
pre    x = x + dropout(layer(norm(x)))        gradients reach every layer through sums alone
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from peftrec.models.user_encoders.choices import Initialisation, NormKind, Placement
from peftrec.models.user_encoders.norms import build_norm


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """Size and order of a block's layers."""

    num_heads: int
    widening: int
    """Width of the feed-forward layer over the embedding's."""
    dropout: float
    norm: NormKind
    placement: Placement


class Sublayer(nn.Module):
    """Residual, dropout and norm around a layer."""

    dropout: nn.Dropout
    layer_norm: nn.Module
    """Of whatever kind: the name is that of published weights."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        self.is_pre = shape.placement == "pre"

    def read(self, states: Float[Tensor, "user step dim"]) -> Float[Tensor, "user step dim"]:
        """Return what the layer reads."""
        return self.layer_norm(states) if self.is_pre else states

    def add(
        self, states: Float[Tensor, "user step dim"], outputs: Float[Tensor, "user step dim"]
    ) -> Float[Tensor, "user step dim"]:
        """Return the states with the layer's outputs added."""
        states = states + self.dropout(outputs)
        return states if self.is_pre else self.layer_norm(states)


class SelfAttention(Sublayer):
    """Multi-head self-attention without biases, scaled by 1 / sqrt(dim / heads); dropout also on the weights."""

    def __init__(self, shape: BlockShape, dim: int) -> None:
        super().__init__(shape)
        self.num_heads = shape.num_heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(shape.dropout)
        self.layer_norm = build_norm(shape.norm, dim)

    def forward(
        self, states: Float[Tensor, "user step dim"], visible: Bool[Tensor, "user 1 step step"]
    ) -> Float[Tensor, "user step dim"]:
        # One product in place of three, which are small: the time of each is mostly its start.
        together = nn.functional.linear(
            self.read(states), torch.cat([self.query.weight, self.key.weight, self.value.weight])
        )
        query, key, value = rearrange(
            together, "user step (part head width) -> part user head step width", part=3, head=self.num_heads
        )
        attended = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, dropout_p=self.dropout.p if self.training else 0.0
        )
        merged = rearrange(attended, "user head step width -> user step (head width)")
        return self.add(states, self.out(merged))

    def weights(self) -> Iterator[Tensor]:
        """Yield the four projections."""
        yield from (layer.weight for layer in (self.query, self.key, self.value, self.out))


class FeedForward(Sublayer):
    """Two layers, ReLU between."""

    def __init__(self, shape: BlockShape, dim: int) -> None:
        super().__init__(shape)
        self.up = nn.Linear(dim, shape.widening * dim)
        self.down = nn.Linear(shape.widening * dim, dim)
        self.dropout = nn.Dropout(shape.dropout)
        self.layer_norm = build_norm(shape.norm, dim)

    def forward(self, states: Float[Tensor, "user step dim"]) -> Float[Tensor, "user step dim"]:
        return self.add(states, self.down(nn.functional.relu(self.up(self.read(states)))))


class Block(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, shape: BlockShape, dim: int) -> None:
        super().__init__()
        self.attention = SelfAttention(shape, dim)
        self.feed_forward = FeedForward(shape, dim)

    def forward(
        self, states: Float[Tensor, "user step dim"], visible: Bool[Tensor, "user 1 step step"]
    ) -> Float[Tensor, "user step dim"]:
        return self.feed_forward(self.attention(states, visible))


def initialise(encoder: nn.Module, initialisation: Initialisation) -> None:
    """Draw all weights of linear layers and embeddings; biases are zero."""
    encoder.apply(_xavier)
    if initialisation == "small":
        for part in encoder.modules():
            if isinstance(part, SelfAttention):
                for weight in part.weights():
                    nn.init.normal_(weight, std=(2 / (5 * weight.shape[0])) ** 0.5)


def _xavier(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.xavier_normal_(module.weight)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
