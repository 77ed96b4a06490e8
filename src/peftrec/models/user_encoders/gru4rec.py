"""GRU4Rec (Hidasi et al., ICLR 2016): gated recurrent units over the items of a history.

r, z = sigmoid(W x + U h)      n = tanh(V x + r * (T h))      h = (1 - z) * n + z * h      (each with biases)
state = P h + b

The state is compared with item embeddings instead of one output a candidate, and dropout falls on the inputs, as Tan
et al. propose (DLRS 2016, arXiv:1606.08117).
"""

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.config.strict import STRICT
from peftrec.models.user_encoders.base import UserEncoder


class GRU4RecEncoder(nn.Module):
    """The module; see GRU4Rec for its hyper-parameters."""

    def __init__(self, settings: "GRU4Rec", *, dim: int) -> None:
        super().__init__()
        self.input_dropout = nn.Dropout(settings.dropout)
        self.gru = nn.GRU(
            dim,
            settings.hidden_dim,
            num_layers=settings.num_layers,
            batch_first=True,
            dropout=settings.dropout if settings.num_layers > 1 else 0.0,  # torch: between layers, and warns at one
        )
        self.project = nn.Linear(settings.hidden_dim, dim)

    def forward(
        self, embeddings: Float[Tensor, "user step dim"], mask: Bool[Tensor, "user step"]
    ) -> Float[Tensor, "user step dim"]:
        # Padding goes behind the items, where no item's state can see it, and back before them afterwards.
        num_padded = (~mask).sum(dim=1)
        inputs = rotated(self.input_dropout(embeddings), num_padded)
        # On CUDA autocast would run it in float16 whatever type it was asked for, and nothing scales the gradients.
        with torch.autocast("cuda", enabled=False):
            hidden, _ = self.gru(inputs.to(self.project.weight.dtype))
        return rotated(self.project(hidden), -num_padded)


def rotated(states: Float[Tensor, "user step dim"], by: Int[Tensor, " user"]) -> Float[Tensor, "user step dim"]:
    """Move each user's steps to the left by a number of places; what leaves on one side enters on the other."""
    num_steps = states.shape[1]
    places = (torch.arange(num_steps, device=states.device) + by[:, None]) % num_steps
    return states.gather(1, places[:, :, None].expand_as(states))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GRU4Rec(UserEncoder):
    """One layer of twice the default embedding's width; dropout as in the other user encoders."""

    hidden_dim: int = Field(default=128, ge=1)
    """Width of the recurrent state."""
    num_layers: int = Field(default=1, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of the inputs, and between layers."""

    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        return GRU4RecEncoder(self, dim=dim)
