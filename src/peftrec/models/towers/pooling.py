"""From the states of an item's tokens to one vector."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def mean_of(states: Float[Tensor, "item token side"], chosen: Bool[Tensor, "item token"]) -> Float[Tensor, "item side"]:
    """Average the states of the chosen tokens."""
    weights = chosen.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def last_of(mask: Bool[Tensor, "item token"]) -> Bool[Tensor, "item token"]:
    """Keep the last true place of each row. A product with it, unlike indexing, has a deterministic backward pass."""
    places = torch.arange(mask.shape[1], device=mask.device)
    return mask & (places == (mask * places).amax(dim=1, keepdim=True))
