"""Gated Transformer Networks (arXiv:2103.14438) as a user encoder (see `peftrec.models.user_encoders.gtn`)."""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.gtn_shape import TowerShape
from peftrec.user_encoders.base import UserEncoder

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GTN(UserEncoder):
    """Towers of the depth of the SASRec that they are compared with, not of the paper's classifier."""

    num_blocks: int = Field(default=2, ge=1)
    """Of each tower."""
    num_heads: int = Field(default=2, ge=1)
    """Must divide `embedding_dim` and `channel_width`."""
    widening: int = Field(default=4, ge=1)
    """Width of a tower's feed-forward layers over the tower's."""
    channel_width: int = Field(default=16, ge=1)
    """Width of the channel tower; the step tower has the embedding's."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of what each layer adds to its input."""

    def __post_init__(self) -> None:
        if self.channel_width % self.num_heads:
            raise SettingsError(
                f"user_encoder.num_heads: {self.num_heads} heads do not divide channel_width={self.channel_width}"
            )

    @property
    def draws_in_training(self) -> bool:
        return self.dropout > 0

    def tower_shape(self, dim: int) -> TowerShape:
        """Return the shape of a tower of that width."""
        return TowerShape(
            dim=dim,
            num_blocks=self.num_blocks,
            num_heads=self.num_heads,
            head_width=dim // self.num_heads,
            hidden=self.widening * dim,
            dropout=self.dropout,
        )

    def check(self, *, dim: int) -> None:
        if dim % self.num_heads:
            raise SettingsError(
                f"user_encoder.num_heads: {self.num_heads} heads do not divide embedding_dim={dim}; change one of them"
            )

    def build(self, *, dim: int, sequence_length: int) -> "nn.Module":
        from peftrec.models.user_encoders.gtn import GTNEncoder

        self.check(dim=dim)
        return GTNEncoder(
            steps=self.tower_shape(dim),
            channels=self.tower_shape(self.channel_width),
            sequence_length=sequence_length,
        )
