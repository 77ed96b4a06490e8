"""GTN as the classifier of its paper (arXiv:2103.14438): all steps and channels, flattened, through the gate.

s = flatten(step tower(X)),  c = flatten(channel tower(X^T)),  logits = W [g_1 s; g_2 c] + b

Series are padded with zeros at their end, and nothing marks the padding, as in the published code. No token is masked:
the whole series is there before it is classified. The published code masks later steps while it trains and not when it
tests, so that it tests another function than the one it trained.
"""

from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.gtn import Gate, Tower
from peftrec.models.gtn_shape import TowerShape


@dataclass(frozen=True, kw_only=True)
class Classified:
    """Outcome for a batch of series."""

    logits: Float[Tensor, "series label"]
    gate: Float[Tensor, "series 2"]
    """Weight of the step tower and of the channel tower."""


class GTNClassifier(nn.Module):
    """Both towers have the same shape, as published."""

    def __init__(self, shape: TowerShape, *, num_steps: int, num_channels: int, num_labels: int) -> None:
        super().__init__()
        self.step_tower = Tower(num_channels, shape, num_positions=num_steps)
        self.channel_tower = Tower(num_steps, shape)
        self.gate = Gate(num_steps * shape.dim, num_channels * shape.dim)
        self.out = nn.Linear((num_steps + num_channels) * shape.dim, num_labels)

    def forward(self, series: Float[Tensor, "series step channel"]) -> Classified:
        steps, channels = self.step_tower(series), self.channel_tower(series.mT)
        gated = self.gate(*(rearrange(each, "series token dim -> series (token dim)") for each in (steps, channels)))
        return Classified(logits=self.out(gated.features), gate=gated.weights)
