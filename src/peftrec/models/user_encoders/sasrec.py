"""SASRec (Kang & McAuley, ICDM 2018), by default in the post-norm variant of the published IISAN code.

post   x = dropout(norm(items + positions)), then the blocks
pre    x = dropout(items + positions), then the blocks, then the norm

Pre-norm is the layout of SASRec's own paper. With it or without, the options of Nguyen & Salazar (IWSLT 2019,
arXiv:1910.05895): the kind of norm, FixNorm and small initialisation.
"""

from jaxtyping import Bool, Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.user_encoders.base import UserEncoder
from peftrec.models.user_encoders.norms import ScaleNorm, build_norm
from peftrec.models.user_encoders.transformer_blocks import Block, BlockSettings, initialise
from peftrec.models.user_encoders.visibility import visible_steps


class SASRecEncoder(nn.Module):
    """The module; see SASRec for its hyper-parameters."""

    def __init__(self, settings: "SASRec", *, dim: int, sequence_length: int) -> None:
        super().__init__()
        self.is_pre = settings.placement == "pre"
        # Beside the layers' outputs, vectors of unit length would hardly be seen: the published code scales them.
        self.input_scale = dim**0.5 if settings.fix_norm else None
        self.position_embedding = nn.Embedding(sequence_length, dim)
        self.layer_norm = build_norm(settings.norm, dim)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Block(settings, dim) for _ in range(settings.num_blocks))
        initialise(self, settings.initialisation)

    def forward(
        self, embeddings: Float[Tensor, "user step dim"], mask: Bool[Tensor, "user step"]
    ) -> Float[Tensor, "user step dim"]:
        num_steps = embeddings.shape[1]
        if self.input_scale is not None:
            embeddings = self.input_scale * embeddings
        states = embeddings + self.position_embedding.weight[:num_steps]
        states = self.dropout(states if self.is_pre else self.layer_norm(states))
        visible = visible_steps(mask)[:, None]
        for block in self.blocks:
            states = block(states, visible)
        return self.layer_norm(states) if self.is_pre else states


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SASRec(BlockSettings, UserEncoder):
    """Hyper-parameters of the published runs by default."""

    num_blocks: int = Field(default=2, ge=1)
    fix_norm: bool = False
    """FixNorm: item embeddings have one learned length, for the user encoder and the scores alike, so that scores rank
    items by angle; inputs are scaled by sqrt(dim)."""

    def check(self, *, dim: int) -> None:
        if dim % self.num_heads:
            raise SettingsError(
                f"user_encoder.num_heads: {self.num_heads} heads do not divide embedding_dim={dim}; change one of them"
            )

    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        self.check(dim=dim)
        return SASRecEncoder(self, dim=dim, sequence_length=sequence_length)

    def item_norm(self) -> nn.Module | None:
        return ScaleNorm(1.0) if self.fix_norm else None
