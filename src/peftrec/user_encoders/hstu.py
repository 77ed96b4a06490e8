"""HSTU (Zhai et al., ICML 2024, arXiv:2402.17152), with a bias for distances alone or for times as well."""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.user_encoders.base import UserEncoder

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HSTU(UserEncoder):
    """Two blocks, as the published MovieLens-1M configuration has them; it reads the order of items and no times."""

    num_blocks: int = Field(default=2, ge=1)
    """Blocks of gated attention."""
    num_heads: int = Field(default=2, ge=1)
    """Heads of a block."""
    head_dim: int = Field(default=32, ge=1)
    """Width of a head's queries, keys and values."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Of the inputs, and of what each block adds to them."""

    @property
    def draws_in_training(self) -> bool:
        return self.dropout > 0

    def build(self, *, dim: int, sequence_length: int) -> "nn.Module":
        from peftrec.models.user_encoders.hstu import HSTUEncoder

        return HSTUEncoder(
            dim=dim,
            sequence_length=sequence_length,
            num_blocks=self.num_blocks,
            num_heads=self.num_heads,
            head_dim=self.head_dim,
            dropout=self.dropout,
            reads_times=self.reads_times,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TimedHSTU(HSTU):
    """It also reads how long ago each earlier item was taken, at the step that looks back at it."""

    reads_times = True
