"""Parallel adapters (He et al., ICLR 2022, arXiv:2110.04366): a bottleneck beside a sublayer, not behind it.

h = sublayer(x) + s W_up relu(W_down x + b_down) + s b_up, before residual and norm. W_up starts at zero, as LoRA's B
does (their published `init_option=lora`), so that the towers start as they were.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.strategies.adapted_blocks import AdaptedBlocks

Sublayer = Literal["attention", "ffn"]
_ENDS: dict[Sublayer, tuple[str, str]] = {
    "attention": ("query", "attention_output"),
    "ffn": ("ffn_input", "ffn_output"),
}
"""Sites of the layer that reads a sublayer's input, and of the one that gives its output."""

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.tower import Tower
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ParallelAdapter(AdaptedBlocks):
    """Beside the feed-forward network by default, where the paper finds it best."""

    identity_at_start: ClassVar[bool] = True

    bottleneck: int = Field(default=64, ge=1)
    """Width of an adapter's inner layer."""
    scale: float = Field(default=4.0, gt=0)
    """The factor s; 4 in the published scripts."""
    sublayers: tuple[Sublayer, ...] = Field(default=("ffn",), min_length=1)
    """What has an adapter beside it in every block: `attention`, `ffn` (the feed-forward network), or both."""

    @property
    def draws_in_training(self) -> bool:
        return False

    def refusal_of_int8(self) -> None:
        return None

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import TowerItemEncoder

        towers.requires_grad_(False)
        for tower in towers.present().values():
            chosen = self.blocks_of(tower)
            for sublayer in self.sublayers:
                first, last = (tower.site_that_holds(site) for site in _ENDS[sublayer])
                for start, end in zip(tower.site_paths(first, chosen), tower.site_paths(last, chosen), strict=True):
                    self._put_beside(tower, start, end)
        return TowerItemEncoder(towers, embedding_dim=embedding_dim)

    def _put_beside(self, tower: "Tower", start: str, end: str) -> None:
        from peftrec.models.side_networks.adapters import BesideSublayer, EndOfSublayer

        beside = BesideSublayer(
            tower.encoder.get_submodule(start), width=tower.width, bottleneck=self.bottleneck, scale=self.scale
        )
        tower.encoder.set_submodule(start, beside)
        tower.encoder.set_submodule(end, EndOfSublayer(tower.encoder.get_submodule(end), beside))
