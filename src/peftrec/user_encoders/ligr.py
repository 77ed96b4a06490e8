"""LiGR, the blocks of eSASRec (arXiv:2502.03417; arXiv:2508.06450)."""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.user_encoders.base import UserEncoder

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LiGR(UserEncoder):
    """eSASRec trains such blocks by a sampled softmax, `objective=sampled_softmax`."""

    num_blocks: int = Field(default=2, ge=1)
    """Blocks of gated attention and a gated feed-forward layer."""
    num_heads: int = Field(default=2, ge=1)
    """Must divide `embedding_dim`."""
    widening: int = Field(default=4, ge=1)
    """Width of the feed-forward layer over the embedding's."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of the inputs, of the attention weights, within the feed-forward layer and of what each layer adds."""

    @property
    def draws_in_training(self) -> bool:
        return self.dropout > 0

    def check(self, *, dim: int) -> None:
        if dim % self.num_heads:
            raise SettingsError(
                f"user_encoder.num_heads: {self.num_heads} heads do not divide embedding_dim={dim}; change one of them"
            )

    def build(self, *, dim: int, sequence_length: int) -> "nn.Module":
        from peftrec.models.user_encoders.ligr import LiGREncoder

        self.check(dim=dim)
        return LiGREncoder(
            dim=dim,
            sequence_length=sequence_length,
            num_blocks=self.num_blocks,
            num_heads=self.num_heads,
            widening=self.widening,
            dropout=self.dropout,
        )
