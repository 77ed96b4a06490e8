"""Gated Transformer Networks (arXiv:2103.14438) as a user encoder; towers and gate are those of `models/gtn.py`.

A history is a series whose channels are the dimensions of the item embeddings. The paper's towers see a whole series
and know no padding; a user encoder must say at every step what is known then, so

s_t = step tower(X)_t                  a step looks at itself and earlier ones, never at padding
c_t = channel tower(X_<=t^T)           channels as vectors over the history that ends at step t, zeros before its start
state_t = W [g_1 s_t; g_2 flatten(c_t)] + b        the gate reads s_t and flatten(c_t)

At the last step the channel tower reads what the paper's would, the zero-padded series; at an earlier one it reads what
it will read when that step is the last. That is exact and has its price: the channel tower runs once a step, on `dim`
tokens each time, where the step tower encodes one token a step. Its width is therefore a setting of its own, and what
attention in it costs grows with the square of the embedding dimension.
"""

from einops import rearrange
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from peftrec.models.gtn import Gate, Tower
from peftrec.models.gtn_shape import TowerShape
from peftrec.models.user_encoders.visibility import visible_steps


class GTNEncoder(nn.Module):
    """The module; see peftrec.user_encoders.gtn for its hyper-parameters."""

    def __init__(self, *, steps: TowerShape, channels: TowerShape, sequence_length: int) -> None:
        super().__init__()
        self.sequence_length = sequence_length
        dim = steps.dim  # that of the embeddings, whose dimensions are the channels
        num_channel_features = dim * channels.dim
        self.step_tower = Tower(dim, steps, num_positions=sequence_length)
        self.channel_tower = Tower(sequence_length, channels)
        self.gate = Gate(dim, num_channel_features)
        self.out = nn.Linear(dim + num_channel_features, dim)

    def forward(
        self,
        embeddings: Float[Tensor, "user step dim"],
        mask: Bool[Tensor, "user step"],
        times: Shaped[Tensor, "user step"] | None = None,
    ) -> Float[Tensor, "user step dim"]:
        series = embeddings.masked_fill(~mask[..., None], 0.0)
        steps = self.step_tower(series, visible_steps(mask))
        histories = histories_until(series, self.sequence_length)
        channels = self.channel_tower(rearrange(histories, "user step channel past -> (user step) channel past"))
        flat = rearrange(channels, "(user step) channel width -> user step (channel width)", step=mask.shape[1])
        states: Tensor = self.out(self.gate(steps, flat).features)
        return states


def histories_until(series: Float[Tensor, "user step channel"], length: int) -> Float[Tensor, "user step channel past"]:
    """Return for each step the last `length` values of every channel up to it, zeros where there are fewer."""
    return nn.functional.pad(series, (0, 0, length - 1, 0)).unfold(1, length, 1)
