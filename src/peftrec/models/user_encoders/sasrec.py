"""SASRec (Kang & McAuley, ICDM 2018) in the post-norm variant of the published IISAN code.

x   = dropout(LayerNorm(items + positions))
x   = LayerNorm(x + dropout(attention(x)))          attention without biases, scaled by 1 / sqrt(dim / heads)
x   = LayerNorm(x + dropout(W2 relu(W1 x + b1) + b2))
"""

from einops import rearrange
from jaxtyping import Bool, Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.errors import SettingsError
from peftrec.models.user_encoders.base import UserEncoder
from peftrec.models.user_encoders.visibility import visible_steps
from peftrec.strict import STRICT

_LAYER_NORM_EPS = 1e-6  # published code


class SelfAttention(nn.Module):
    """Multi-head self-attention with residual and norm; dropout on the weights and on the output."""

    def __init__(self, dim: int, *, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.layer_norm = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)

    def forward(
        self, states: Float[Tensor, "user step dim"], visible: Bool[Tensor, "user 1 step step"]
    ) -> Float[Tensor, "user step dim"]:
        query, key, value = (
            rearrange(layer(states), "user step (head width) -> user head step width", head=self.num_heads)
            for layer in (self.query, self.key, self.value)
        )
        attended = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, dropout_p=self.dropout.p if self.training else 0.0
        )
        merged = rearrange(attended, "user head step width -> user step (head width)")
        return self.layer_norm(states + self.dropout(self.out(merged)))


class FeedForward(nn.Module):
    """Two layers with residual and norm."""

    def __init__(self, dim: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)
        self.layer_norm = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)

    def forward(self, states: Float[Tensor, "user step dim"]) -> Float[Tensor, "user step dim"]:
        return self.layer_norm(states + self.dropout(self.down(nn.functional.relu(self.up(states)))))


class Block(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, settings: "SASRec", dim: int) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, num_heads=settings.num_heads, dropout=settings.dropout)
        self.feed_forward = FeedForward(dim, hidden=settings.widening * dim, dropout=settings.dropout)

    def forward(
        self, states: Float[Tensor, "user step dim"], visible: Bool[Tensor, "user 1 step step"]
    ) -> Float[Tensor, "user step dim"]:
        return self.feed_forward(self.attention(states, visible))


class SASRecEncoder(nn.Module):
    """The module; see SASRec for its hyper-parameters."""

    def __init__(self, settings: "SASRec", *, dim: int, sequence_length: int) -> None:
        super().__init__()
        self.position_embedding = nn.Embedding(sequence_length, dim)
        self.layer_norm = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Block(settings, dim) for _ in range(settings.num_blocks))
        self.apply(_initialise)

    def forward(
        self, embeddings: Float[Tensor, "user step dim"], mask: Bool[Tensor, "user step"]
    ) -> Float[Tensor, "user step dim"]:
        num_steps = embeddings.shape[1]
        states = self.layer_norm(embeddings + self.position_embedding.weight[:num_steps])
        states = self.dropout(states)
        visible = visible_steps(mask)[:, None]
        for block in self.blocks:
            states = block(states, visible)
        return states


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.xavier_normal_(module.weight)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SASRec(UserEncoder):
    """Hyper-parameters of the published runs by default."""

    num_blocks: int = Field(default=2, ge=1)
    num_heads: int = Field(default=2, ge=1)
    """Must divide `embedding_dim`."""
    widening: int = Field(default=4, ge=1)
    """Width of the feed-forward layer over the embedding's."""
    dropout: float = Field(default=0.1, ge=0, lt=1)

    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        if dim % self.num_heads:
            raise SettingsError(f"user_encoder.num_heads: {self.num_heads} heads do not divide embedding_dim={dim}")
        return SASRecEncoder(self, dim=dim, sequence_length=sequence_length)
