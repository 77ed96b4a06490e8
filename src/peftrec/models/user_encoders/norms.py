"""Norms of a sequence model's states (Nguyen & Salazar, IWSLT 2019, arXiv:1910.05895; Zhang & Sennrich, NeurIPS 2019).

LayerNorm(x) = a (x - mean(x)) / sqrt(var(x) + eps) + b       a gain and a shift for each dimension
RMSNorm(x)   = a x / sqrt(mean(x^2) + eps)                     a gain for each dimension
ScaleNorm(x) = g x / max(||x||, eps)                           one gain, sqrt(dim) at the start

With all gains equal to c, RMSNorm is ScaleNorm with g = c sqrt(dim). FixNorm (Nguyen & Chiang, NAACL 2018) is ScaleNorm
of the embeddings themselves: item w scores g <w, x> / ||w|| for a user in state x.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.user_encoders.choices import NormKind

_EPS = 1e-6  # the published IISAN code's for LayerNorm
_SHORTEST = 1e-5  # of a vector, in the published code of ScaleNorm


class ScaleNorm(nn.Module):
    """Vectors of one learned length; shorter ones than 1e-5 are scaled as if they had that length."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, vectors: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        # One number a vector is divided and kept for the backward pass, and `dim` of them are only multiplied.
        lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        return vectors * (self.gain / lengths.clamp_min(_SHORTEST))


def build_norm(kind: NormKind, dim: int) -> nn.Module:
    """Return a norm whose outputs have length sqrt(dim) before training."""
    if kind == "layer":
        return nn.LayerNorm(dim, eps=_EPS)
    if kind == "rms":
        return nn.RMSNorm(dim, eps=_EPS)
    return ScaleNorm(dim**0.5)
