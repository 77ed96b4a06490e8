"""GRU4Rec (Hidasi et al., ICLR 2016): gated recurrent units over the items of a history.

r, z = sigmoid(W x + U h)      n = tanh(V x + r * (T h))      h = (1 - z) * n + z * h      (each with biases)
state = P h + b

The state is compared with item embeddings instead of one output a candidate, and dropout falls on the inputs, as Tan
et al. propose (DLRS 2016, arXiv:1606.08117).
"""

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn


class GRU4RecEncoder(nn.Module):
    """The module; see peftrec.user_encoders.gru4rec for its hyper-parameters."""

    def __init__(self, *, dim: int, hidden_dim: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.input_dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(
            dim,
            hidden_dim,
            num_layers=num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,  # torch: between layers, and warns at one
        )
        self.project = nn.Linear(hidden_dim, dim)

    def forward(
        self,
        embeddings: Float[Tensor, "user step dim"],
        mask: Bool[Tensor, "user step"],
        times: Shaped[Tensor, "user step"] | None = None,
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
