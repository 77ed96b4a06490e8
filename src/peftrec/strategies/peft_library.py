"""Any method of the peft library (https://github.com/huggingface/peft) that can train an encoder.

peft's layers go into one tower at a time, at the paths of generic sites, so that a method lands in every block of every
tower or nowhere. Ready settings of single methods, each with its paper, are yaml files beside `peft.yaml`.
"""

from typing import TYPE_CHECKING

from pydantic import Field, JsonValue
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.towers.tower_sites import asked_of_each, sites_by_tower
from peftrec.strategies.adapted_blocks import AdaptedBlocks

if TYPE_CHECKING:
    from peft import PeftConfig

    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.tower import Tower
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PeftLibrary(AdaptedBlocks):
    """A method by peft's own name, with peft's own arguments; what peft does not know is refused when composing."""

    method: str
    """As in `peft.PeftType`: LORA, VERA, OFT, ..."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Fields of the method's config class (LoraConfig, VeraConfig, ...); what is left out has peft's default."""
    sites: tuple[str, ...] = Field(default=("query", "value"), min_length=1)
    """Layers of a block, by names that are the same for every family (docs/strategies.md lists them); each must exist
    in every block that is adapted. `text.query_key_value` is asked of the text tower alone."""
    feedforward_sites: tuple[str, ...] = ()
    """Those of `sites` whose input is scaled in place of their output, for IA3."""

    def __post_init__(self) -> None:
        super().__post_init__()
        strangers = [site for site in self.feedforward_sites if site not in self.sites]
        if strangers:
            raise ValueError(f"feedforward_sites: {', '.join(strangers)} must be among sites as well")
        self._config(self.sites, self.feedforward_sites)

    @property
    def identity_at_start(self) -> bool:  # type: ignore[override]  # here it depends on the method
        from peftrec.models.peft.methods import starts_at_pretrained

        return starts_at_pretrained(self._config(self.sites, self.feedforward_sites))

    @property
    def draws_in_training(self) -> bool:
        from peftrec.models.peft.methods import draws_in_training

        return draws_in_training(self._config(self.sites, self.feedforward_sites))

    def refusal_of_int8(self) -> str | None:
        from peftrec.models.peft.methods import refusal_of_int8

        return refusal_of_int8(self._config(self.sites, self.feedforward_sites))

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peft import AdaLoraModel

        from peftrec.models.item_encoder import TowerItemEncoder
        from peftrec.models.peft.adalora import RankAllocation
        from peftrec.models.peft.injection import inject

        sites, feedforward = sites_by_tower(self.sites, towers), asked_of_each(self.feedforward_sites, towers)
        tuners = {
            name: inject(tower, self._config_for(tower, sites[name], feedforward[name]))
            for name, tower in towers.present().items()
        }
        allocating = {name: tuner for name, tuner in tuners.items() if isinstance(tuner, AdaLoraModel)}
        return TowerItemEncoder(
            towers, embedding_dim=embedding_dim, schedule=RankAllocation(allocating) if allocating else None
        )

    def _config_for(self, tower: "Tower", sites: tuple[str, ...], feedforward: tuple[str, ...]) -> "PeftConfig":
        chosen = self.blocks_of(tower)
        return self._config(tower.paths_of(sites, chosen), tower.paths_of(feedforward, chosen))

    def _config(self, targets: tuple[str, ...] | list[str], feedforward: tuple[str, ...] | list[str]) -> "PeftConfig":
        from peftrec.models.peft.methods import build_config

        return build_config(self.method, self.arguments, targets=targets, feedforward=feedforward)
