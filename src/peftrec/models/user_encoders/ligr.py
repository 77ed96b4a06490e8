"""LiGR, the blocks of eSASRec (Borisyuk et al., 2025, arXiv:2502.03417; arXiv:2508.06450).

    x = x + sigmoid(W_1 x + b_1) * dropout(attention(LN(x)))
    x = x + sigmoid(W_2 x + b_2) * dropout(feed_forward(LN(x)))        feed_forward(z) = W (SiLU(V z) * G z)

The gates read x itself, not its norm. The feed-forward layer is SwiGLU, without biases; attention has them. No norm
follows the last block.
"""

from einops import rearrange
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from peftrec.models.user_encoders.transformer_blocks import initialise
from peftrec.models.user_encoders.visibility import visible_steps

_EPS = 1e-5


class LiGREncoder(nn.Module):
    """The module; see peftrec.user_encoders.ligr for its hyper-parameters."""

    def __init__(
        self, *, dim: int, sequence_length: int, num_blocks: int, num_heads: int, widening: int, dropout: float
    ) -> None:
        super().__init__()
        self.position_embedding = nn.Embedding(sequence_length, dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            LiGRBlock(dim=dim, num_heads=num_heads, widening=widening, dropout=dropout) for _ in range(num_blocks)
        )
        initialise(self, "xavier")

    def forward(
        self,
        embeddings: Float[Tensor, "user step dim"],
        mask: Bool[Tensor, "user step"],
        times: Shaped[Tensor, "user step"] | None = None,
    ) -> Float[Tensor, "user step dim"]:
        states = self.dropout(embeddings + self.position_embedding.weight[: embeddings.shape[1]])
        visible = visible_steps(mask)[:, None]
        for block in self.blocks:
            states = block(states, visible)
        return states


class LiGRBlock(nn.Module):
    """Gated attention, then a gated feed-forward layer."""

    def __init__(self, *, dim: int, num_heads: int, widening: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(dim=dim, num_heads=num_heads, dropout=dropout)
        self.feed_forward = SwiGLU(dim=dim, widening=widening, dropout=dropout)
        self.attention_gate, self.feed_forward_gate = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(dim, eps=_EPS), nn.LayerNorm(dim, eps=_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, states: Float[Tensor, "user step dim"], visible: Bool[Tensor, "user 1 step step"]
    ) -> Float[Tensor, "user step dim"]:
        attended = self.dropout(self.attention(self.attention_norm(states), visible))
        states = states + self.attention_gate(states).sigmoid() * attended
        fed = self.dropout(self.feed_forward(self.feed_forward_norm(states)))
        return states + self.feed_forward_gate(states).sigmoid() * fed


class Attention(nn.Module):
    """Multi-head self-attention with biases; dropout also on the weights."""

    def __init__(self, *, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(
        self, inputs: Float[Tensor, "user step dim"], visible: Bool[Tensor, "user 1 step step"]
    ) -> Float[Tensor, "user step dim"]:
        query, key, value = (
            rearrange(layer(inputs), "user step (head width) -> user head step width", head=self.num_heads)
            for layer in (self.query, self.key, self.value)
        )
        attended = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, dropout_p=self.dropout if self.training else 0.0
        )
        return self.out(rearrange(attended, "user head step width -> user step (head width)"))


class SwiGLU(nn.Module):
    """A gated feed-forward layer (Shazeer, 2020, arXiv:2002.05202), dropout before its last product."""

    def __init__(self, *, dim: int, widening: int, dropout: float) -> None:
        super().__init__()
        self.up, self.gate = (nn.Linear(dim, widening * dim, bias=False) for _ in range(2))
        self.down = nn.Linear(widening * dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Float[Tensor, "user step dim"]) -> Float[Tensor, "user step dim"]:
        return self.down(self.dropout(nn.functional.silu(self.up(inputs)) * self.gate(inputs)))
