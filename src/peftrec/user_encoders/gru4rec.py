"""GRU4Rec (Hidasi et al., ICLR 2016), with the inputs' dropout of Tan et al. (DLRS 2016, arXiv:1606.08117)."""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.user_encoders.base import UserEncoder

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GRU4Rec(UserEncoder):
    """One layer of twice the default embedding's width; dropout as in the other user encoders."""

    hidden_dim: int = Field(default=128, ge=1)
    """Width of the recurrent state."""
    num_layers: int = Field(default=1, ge=1)
    """Recurrent layers, one above the other."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of the inputs, and between layers."""

    @property
    def draws_in_training(self) -> bool:
        return self.dropout > 0

    def build(self, *, dim: int, sequence_length: int) -> "nn.Module":
        from peftrec.models.user_encoders.gru4rec import GRU4RecEncoder

        return GRU4RecEncoder(dim=dim, hidden_dim=self.hidden_dim, num_layers=self.num_layers, dropout=self.dropout)
