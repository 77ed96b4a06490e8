"""HSTU (Zhai et al., ICML 2024, arXiv:2402.17152): attention without softmax, gated, without a feed-forward layer.

    z = LN(x)        U, V, Q, K = SiLU(z W)                                            one product for all four
    A = SiLU(Q K' + bias) / n  where step i sees step j, else 0                        n is the sequence length
    x = x + W_o dropout(U * LN(A V)) + b

LN has no gain and no shift. The bias of step i towards step j is a number for the distance i - j and, where times are
read, one for a bucket of the time between them:

    bucket(i, j) = floor( ln(max(1, t_i - t_j)) / 0.301 ),  at most 128

Each block has numbers of its own, which its heads share. The published code takes the time of step i + 1 in the place
of t_i, and with it, when it is evaluated, the time of the event that is to be predicted; here a state knows what is
known when it is asked for. It also keeps a number for each distance to a later step, which causal attention never
reads, and divides what leaves the last block by its length, which decides no rank: `objective=info_nce` does that.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from peftrec.models.user_encoders.visibility import visible_steps

_EPS = 1e-6
_STD = 0.02
_BUCKET_WIDTH = 0.301
NUM_BUCKETS = 129


class HSTUEncoder(nn.Module):
    """The module; see peftrec.user_encoders.hstu for its hyper-parameters."""

    def __init__(
        self,
        *,
        dim: int,
        sequence_length: int,
        num_blocks: int,
        num_heads: int,
        head_dim: int,
        dropout: float,
        reads_times: bool,
    ) -> None:
        super().__init__()
        self.input_scale = dim**0.5
        self.position_embedding = nn.Embedding(sequence_length, dim)
        nn.init.xavier_normal_(self.position_embedding.weight)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            HSTUBlock(
                dim=dim,
                sequence_length=sequence_length,
                num_heads=num_heads,
                head_dim=head_dim,
                dropout=dropout,
                reads_times=reads_times,
            )
            for _ in range(num_blocks)
        )

    def forward(
        self,
        embeddings: Float[Tensor, "user step dim"],
        mask: Bool[Tensor, "user step"],
        times: Shaped[Tensor, "user step"] | None = None,
    ) -> Float[Tensor, "user step dim"]:
        positions = self.position_embedding.weight[: embeddings.shape[1]]
        states = self.dropout(self.input_scale * embeddings + positions).masked_fill(~mask[..., None], 0.0)
        visible = visible_steps(mask)
        for block in self.blocks:
            states = block(states, visible, times)
        return states


class HSTUBlock(nn.Module):
    """One block."""

    def __init__(
        self, *, dim: int, sequence_length: int, num_heads: int, head_dim: int, dropout: float, reads_times: bool
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.sequence_length = sequence_length
        self.inputs = nn.Linear(dim, 4 * num_heads * head_dim, bias=False)
        self.output = nn.Linear(num_heads * head_dim, dim)
        self.of_distance = nn.Embedding(sequence_length, 1)
        self.of_time = nn.Embedding(NUM_BUCKETS, 1) if reads_times else None
        self.norm = nn.LayerNorm(dim, eps=_EPS, elementwise_affine=False)
        self.norm_of_attended = nn.LayerNorm(num_heads * head_dim, eps=_EPS, elementwise_affine=False)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.inputs, self.of_distance, self.of_time):
            if layer is not None:
                nn.init.normal_(layer.weight, std=_STD)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(
        self,
        states: Float[Tensor, "user step dim"],
        visible: Bool[Tensor, "user step step"],
        times: Shaped[Tensor, "user step"] | None,
    ) -> Float[Tensor, "user step dim"]:
        parts = nn.functional.silu(self.inputs(self.norm(states))).chunk(4, dim=-1)
        gate, values, queries, keys = parts
        values, queries, keys = (
            rearrange(part, "user step (head width) -> user head step width", head=self.num_heads)
            for part in (values, queries, keys)
        )
        bias = self.bias(states.shape[1], times)[:, None]
        weights = nn.functional.silu(queries @ keys.transpose(-1, -2) + bias) / self.sequence_length
        attended = weights.masked_fill(~visible[:, None], 0.0) @ values
        merged = rearrange(attended, "user head step width -> user step (head width)")
        return states + self.output(self.dropout(gate * self.norm_of_attended(merged)))

    def bias(self, num_steps: int, times: Shaped[Tensor, "user step"] | None) -> Float[Tensor, "#user step step"]:
        """Return what is added to the scores, of each step towards each earlier one."""
        steps = torch.arange(num_steps, device=self.of_distance.weight.device)
        bias = self.of_distance((steps[:, None] - steps).clamp_min(0))[None, ..., 0]
        if self.of_time is None:
            return bias
        assert times is not None, "batches carry times for who reads them"
        return bias + self.of_time(buckets(times[:, :, None] - times[:, None, :]))[..., 0]


def buckets(durations: Shaped[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
    """Return the bucket of each duration, in the unit of the data; what comes later is in the first."""
    found = (durations.clamp_min(1).float().log() / _BUCKET_WIDTH).floor()
    return found.clamp_max(NUM_BUCKETS - 1).long()
