"""Blocks of self-attention and feed-forward layers, each with residual and norm.

post   x = norm(x + dropout(layer(x)))        Vaswani et al., 2017; the published IISAN code
pre    x = x + dropout(layer(norm(x)))        gradients reach every layer through sums alone
"""

from collections.abc import Iterator
from typing import Literal

from einops import rearrange
from jaxtyping import Bool, Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.config.strict import STRICT
from peftrec.models.user_encoders.norms import NormKind, build_norm

Placement = Literal["post", "pre"]
Initialisation = Literal["xavier", "small"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BlockSettings:
    """Hyper-parameters of a block; those of the published IISAN code by default."""

    num_heads: int = Field(default=2, ge=1)
    """Must divide `embedding_dim`."""
    widening: int = Field(default=4, ge=1)
    """Width of the feed-forward layer over the embedding's."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    norm: NormKind = "layer"
    """LayerNorm, RMSNorm or ScaleNorm (see peftrec.models.user_encoders.norms)."""
    placement: Placement = "post"
    """`pre` norms what a layer reads, and once more what leaves the last block; `post` norms every sum."""
    initialisation: Initialisation = "xavier"
    """`small` draws attention weights from N(0, 2 / (dim + 4 dim)), as those of the feed-forward layer, instead of
    N(0, 2 / (dim + dim))."""


class Sublayer(nn.Module):
    """Residual, dropout and norm around a layer."""

    dropout: nn.Dropout
    layer_norm: nn.Module
    """Of whatever kind: the name is that of published weights."""

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        self.is_pre = settings.placement == "pre"

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

    def __init__(self, settings: BlockSettings, dim: int) -> None:
        super().__init__(settings)
        self.num_heads = settings.num_heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(settings.dropout)
        self.layer_norm = build_norm(settings.norm, dim)

    def forward(
        self, states: Float[Tensor, "user step dim"], visible: Bool[Tensor, "user 1 step step"]
    ) -> Float[Tensor, "user step dim"]:
        inputs = self.read(states)
        query, key, value = (
            rearrange(layer(inputs), "user step (head width) -> user head step width", head=self.num_heads)
            for layer in (self.query, self.key, self.value)
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

    def __init__(self, settings: BlockSettings, dim: int) -> None:
        super().__init__(settings)
        self.up = nn.Linear(dim, settings.widening * dim)
        self.down = nn.Linear(settings.widening * dim, dim)
        self.dropout = nn.Dropout(settings.dropout)
        self.layer_norm = build_norm(settings.norm, dim)

    def forward(self, states: Float[Tensor, "user step dim"]) -> Float[Tensor, "user step dim"]:
        return self.add(states, self.down(nn.functional.relu(self.up(self.read(states)))))


class Block(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, settings: BlockSettings, dim: int) -> None:
        super().__init__()
        self.attention = SelfAttention(settings, dim)
        self.feed_forward = FeedForward(settings, dim)

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
