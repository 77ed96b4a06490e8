"""LoRA (Hu et al., ICLR 2022, arXiv:2106.09685): h = W0 x + (alpha / r) B A x, with B zero at the start.

The weights come from peft, one tower at a time and on the pretrained layers. The published IISAN code calls
loralib.Linear(768, 768, r=8) in place of query and value: alpha is 1 there and the layers' biases train, which
`lora_published.yaml` says; and the layers are fresh, so that W0 is random, which is a fault that is not copied.
"""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.towers.tower_sites import sites_by_tower
from peftrec.strategies.adapted_blocks import AdaptedBlocks

if TYPE_CHECKING:
    from peft import LoraConfig

    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.tower import Tower
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LoRA(AdaptedBlocks):
    """By default rank 8 on query and value of every block of both towers, at a scale of one."""

    identity_at_start: ClassVar[bool] = True

    rank: int = Field(default=8, ge=1)
    """Rank of the update, a matrix of `rank` columns times one of `rank` rows."""
    alpha: float = Field(default=8.0, gt=0)
    """Scale of the update is alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of what the update reads, in training."""
    trains_biases: bool = False
    """Whether the biases of the adapted layers train, at the rates of their towers."""
    sites: tuple[str, ...] = Field(default=("query", "value"), min_length=1)
    """Layers of a block, by names that are the same for every family (docs/strategies.md lists them); each must exist
    in every block that is adapted. `text.query_key_value` is asked of the text tower alone."""

    @property
    def draws_in_training(self) -> bool:
        return self.dropout > 0

    def refusal_of_int8(self) -> None:
        return None

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import TowerItemEncoder
        from peftrec.models.peft.injection import inject

        sites = sites_by_tower(self.sites, towers)
        for name, tower in towers.present().items():
            inject(tower, self._config(tower, sites[name]))
        return TowerItemEncoder(towers, embedding_dim=embedding_dim)

    def _config(self, tower: "Tower", sites: tuple[str, ...]) -> "LoraConfig":
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # a fraction works, peft's annotation is narrower
            lora_dropout=self.dropout,
            target_modules=tower.paths_of(sites, self.blocks_of(tower)),
            bias="lora_only" if self.trains_biases else "none",
        )
