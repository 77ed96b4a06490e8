"""SASRec (Kang & McAuley, ICDM 2018), in the post-norm variant of the published IISAN code or in its own pre-norm one.

post   x = dropout(norm(items + positions)), then the blocks
pre    x = dropout(items + positions), then the blocks, then the norm

Pre-norm is the layout of SASRec's own paper.
"""

from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from peftrec.models.user_encoders.choices import Initialisation
from peftrec.models.user_encoders.norms import build_norm
from peftrec.models.user_encoders.transformer_blocks import Block, BlockShape, initialise
from peftrec.models.user_encoders.visibility import visible_steps


class SASRecEncoder(nn.Module):
    """The module; see peftrec.user_encoders.sasrec for its hyper-parameters."""

    def __init__(
        self,
        shape: BlockShape,
        *,
        dim: int,
        sequence_length: int,
        num_blocks: int,
        scales_inputs: bool,
        initialisation: Initialisation,
    ) -> None:
        super().__init__()
        self.is_pre = shape.placement == "pre"
        # Beside the layers' outputs, vectors of unit length would hardly be seen: the published code scales them.
        self.input_scale = dim**0.5 if scales_inputs else None
        self.position_embedding = nn.Embedding(sequence_length, dim)
        self.layer_norm = build_norm(shape.norm, dim)
        self.dropout = nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(Block(shape, dim) for _ in range(num_blocks))
        initialise(self, initialisation)

    def forward(
        self,
        embeddings: Float[Tensor, "user step dim"],
        mask: Bool[Tensor, "user step"],
        times: Shaped[Tensor, "user step"] | None = None,
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
