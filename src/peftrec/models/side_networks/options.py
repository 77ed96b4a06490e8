"""What strategies let a user choose of a side network, apart from the modules that do it."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.towers.names import FIRST, TowerName

INTER = "inter"
Branch = str
"""A tower's name, or INTER."""
SIDE_GROUPS = (
    *("text_output", "image_output", "inter_output"),
    *("text_gates", "image_gates", "inter_gates"),
    "alignment",
)
"""Groups of a side network's parameters that may have learning rates of their own: a branch's first output layer, its
gates, and what brings two widths together."""


def side_groups(towers: Iterable[TowerName]) -> tuple[str, ...]:
    """Return such groups over towers of these names: those above, and two of each further tower's branch."""
    further = (name for name in towers if name not in FIRST)
    return (*SIDE_GROUPS, *(f"{name}_{kind}" for name in further for kind in ("output", "gates")))


Branches = Literal["intra_inter", "intra", "inter"]
Mixing = Literal["gated", "add"]
Activation = Literal["relu", "gelu"]
Block = Literal["bottleneck", "low_rank", "phm"]
LayerRule = Literal["every_second", "all", "top_half"]
Layers = tuple[int, ...] | LayerRule
"""Hidden states to read: listed, or by a rule. With 12 blocks the rules are the lists that IISAN's scripts name: ids
1,3,..,11 (every_second), 0..11 (all) and 6..11 (top_half), each with the embedding layer's state."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BranchOptions:
    """What may differ from tower to tower in IISAN-Versa."""

    layers: Layers | None = None
    """Hidden states of the tower to read in place of those of the groups, as `text_layers`."""
    bottleneck: int = Field(default=64, ge=1)
    """Width of the inner layer of the blocks of the tower's branch."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BlockOptions:
    """Fields of the strategies whose blocks may vary. An option that the chosen block does not have is refused."""

    block: Block = "bottleneck"
    """What a block's two matrices are: dense (bottleneck), of low rank, or sums of Kronecker products (phm)."""
    rank: int | None = Field(default=None, ge=1)
    """Of both matrices of a low_rank block; null is 8, as many parameters as phm has at the default bottleneck."""
    phm_division: int | None = Field(default=None, ge=1)
    """Kronecker products in a sum of a phm block, n; it divides widths and bottlenecks. Null is 8 (published flag)."""

    @model_validator(mode="after")
    def _check_options(self) -> "BlockOptions":
        for option, block in (("rank", "low_rank"), ("phm_division", "phm")):
            if getattr(self, option) is not None and self.block != block:
                raise ValueError(
                    f"{option} belongs to block={block} and block is {self.block}; set {option}=null or block={block}"
                )
        return self
