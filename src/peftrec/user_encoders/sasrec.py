"""SASRec (Kang & McAuley, ICDM 2018), by default in the post-norm variant of the published IISAN code.

Beside them the options of Nguyen & Salazar (IWSLT 2019, arXiv:1910.05895): the kind of norm, FixNorm and small
initialisation.
"""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.user_encoders.choices import Initialisation, NormKind, Placement
from peftrec.user_encoders.base import UserEncoder

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SASRec(UserEncoder):
    """Hyper-parameters of the published runs by default."""

    num_blocks: int = Field(default=2, ge=1)
    """Blocks of self-attention and a feed-forward layer."""
    num_heads: int = Field(default=2, ge=1)
    """Must divide `embedding_dim`."""
    widening: int = Field(default=4, ge=1)
    """Width of the feed-forward layer over the embedding's."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of the inputs, of the attention weights, and of what each layer adds to its input."""
    norm: NormKind = "layer"
    """LayerNorm, RMSNorm or ScaleNorm (see peftrec.models.user_encoders.norms)."""
    placement: Placement = "post"
    """`pre` norms what a layer reads, and once more what leaves the last block; `post` norms every sum."""
    initialisation: Initialisation = "xavier"
    """`small` draws attention weights from N(0, 2 / (dim + 4 dim)), as those of the feed-forward layer, instead of
    N(0, 2 / (dim + dim))."""
    fix_norm: bool = False
    """FixNorm: item embeddings have one learned length, for the user encoder and the scores alike, so that scores rank
    items by angle; inputs are scaled by sqrt(dim)."""

    @property
    def draws_in_training(self) -> bool:
        return self.dropout > 0

    def check(self, *, dim: int) -> None:
        if dim % self.num_heads:
            raise SettingsError(
                f"user_encoder.num_heads: {self.num_heads} heads do not divide embedding_dim={dim}; change one of them"
            )

    def build(self, *, dim: int, sequence_length: int) -> "nn.Module":
        from peftrec.models.user_encoders.sasrec import SASRecEncoder
        from peftrec.models.user_encoders.transformer_blocks import BlockShape

        self.check(dim=dim)
        shape = BlockShape(
            num_heads=self.num_heads,
            widening=self.widening,
            dropout=self.dropout,
            norm=self.norm,
            placement=self.placement,
        )
        return SASRecEncoder(
            shape,
            dim=dim,
            sequence_length=sequence_length,
            num_blocks=self.num_blocks,
            scales_inputs=self.fix_norm,
            initialisation=self.initialisation,
        )

    def item_norm(self) -> "nn.Module | None":
        from peftrec.models.user_encoders.norms import ScaleNorm

        return ScaleNorm(1.0) if self.fix_norm else None
