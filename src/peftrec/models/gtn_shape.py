"""The size of a tower of Gated Transformer Networks (Liu et al., arXiv:2103.14438)."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TowerShape:
    """Size of a tower; the published one by default."""

    dim: int = Field(default=512, ge=1)
    """Width of a tower's states."""
    num_blocks: int = Field(default=8, ge=1)
    """Blocks of attention and a feed-forward network."""
    num_heads: int = Field(default=8, ge=1)
    """Attention heads of a block."""
    head_width: int = Field(default=8, ge=1)
    """Width of a query, a key and a value; `num_heads` of them need not make up `dim`."""
    hidden: int = Field(default=1024, ge=1)
    """Width inside the feed-forward layers."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Of what each layer adds to its input."""
