"""Which blocks of a tower a strategy that changes towers adapts: all, the uppermost, or a list."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StringConstraints
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError

if TYPE_CHECKING:
    from peftrec.models.towers.tower import Tower

ALL = "all"
_TOP = "top_"

Blocks = Annotated[str, StringConstraints(pattern=rf"^({ALL}|{_TOP}[1-9]\d*)$")] | tuple[int, ...]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdaptedBlocks:
    """A field of the strategies that change towers."""

    blocks: Blocks = Field(default=ALL)
    """Blocks that are adapted: `all`, the uppermost by number, `top_4`, or a list, from 0 and strictly increasing. What
    lies below the lowest of them stays as it is and in evaluation mode, and no gradient enters it."""

    def blocks_of(self, tower: "Tower") -> tuple[int, ...]:
        """Return the blocks to adapt, and have what lies below them frozen and in evaluation mode.

        Raises SettingsError for blocks that the tower does not have.
        """
        chosen = self._chosen(tower.num_blocks, tower.modality)
        if self.blocks != ALL:
            tower.freeze_below(chosen[0])
        return chosen

    def _chosen(self, num_blocks: int, modality: str) -> tuple[int, ...]:
        if self.blocks == ALL:
            return tuple(range(num_blocks))
        if isinstance(self.blocks, str):
            number = int(self.blocks.removeprefix(_TOP))
            if number > num_blocks:
                raise SettingsError(
                    f"strategy.blocks: {self.blocks}, and the {modality} tower has {num_blocks} blocks; take a smaller "
                    f"number, or {ALL}"
                )
            return tuple(range(num_blocks - number, num_blocks))
        chosen = self.blocks
        if not chosen or list(chosen) != sorted(set(chosen)) or chosen[0] < 0 or chosen[-1] >= num_blocks:
            raise SettingsError(
                f"strategy.blocks: {list(chosen)} must be strictly increasing between 0 and {num_blocks - 1}, the "
                f"blocks of the {modality} tower"
            )
        return chosen
