"""Vectors of length 1."""

from jaxtyping import Float
from torch import Tensor, nn

SHORTEST = 1e-6
"""Shorter vectors are scaled as if they had this length, as in the published HSTU code."""


class UnitNorm(nn.Module):
    """It has no parameters."""

    def forward(self, vectors: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        return nn.functional.normalize(vectors, dim=-1, eps=SHORTEST)
