"""The base of strategies that change towers: which blocks they adapt, and that those below can come from a store."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.config.validation_messages import describe
from peftrec.errors import SettingsError
from peftrec.models.towers.names import StateForm, TowerName
from peftrec.strategies.base import Stored, Strategy

if TYPE_CHECKING:
    from peftrec.models.towers.tower import Tower

ALL = "all"
_TOP = "top_"


def _said_blocks(value: object) -> object:
    """Let pass a name or a list, and answer a number, alone or behind a word, with the name that it is meant for."""
    is_name = isinstance(value, str) and re.fullmatch(rf"{ALL}|{_TOP}[1-9][0-9]{{0,17}}", value) is not None
    if is_name:
        return value
    if isinstance(value, list | tuple) and all(isinstance(each, int) for each in value):
        return tuple(value)
    number = re.fullmatch("[^0-9]*([1-9][0-9]{0,17})", str(value)) if isinstance(value, str | int) else None
    meant = f"; did you mean {_TOP}{number[1]}?" if number else ""
    raise ValueError(
        f"expected {ALL}, the uppermost by number, {_TOP}2, or a list, [2,3], got {describe(value)}{meant}"
    )


Blocks = str | tuple[int, ...]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdaptedBlocks(Strategy):
    """Adapts all blocks, the uppermost, or a list. What lies below the lowest of them depends on no training step, so
    that `states=store` runs the blocks from there on alone, on stored states of all tokens."""

    blocks: Annotated[Blocks, BeforeValidator(_said_blocks)] = Field(default=ALL)
    """Blocks that are adapted: `all`, the uppermost by number, `top_4`, or a list, from 0 and strictly increasing. What
    lies below the lowest of them stays as it is and in evaluation mode, and no gradient enters it."""

    @property
    def fewest_blocks(self) -> int:
        if isinstance(self.blocks, str):
            return 1 if self.blocks == ALL else int(self.blocks.removeprefix(_TOP))
        return max(self.blocks, default=0) + 1

    @property
    def stored_form(self) -> StateForm | None:
        return None if self.blocks == ALL else "tokens"

    def _why_nothing_is_stored(self) -> str:
        return (
            f"strategy.blocks={ALL} leaves no part of a tower frozen that a store could hold; set strategy.blocks="
            f"{_TOP}2, or take states=live"
        )

    def stored(self, depths: Mapping[TowerName, int]) -> Stored:
        reads = super().stored(depths)
        return Stored(form=reads.form, layers={name: self._chosen(depth, name)[:1] for name, depth in depths.items()})

    def blocks_of(self, tower: "Tower") -> tuple[int, ...]:
        """Return the blocks to adapt, and have what lies below them frozen and in evaluation mode.

        Raises SettingsError for blocks that the tower does not have.
        """
        chosen = self._chosen(tower.num_blocks, tower.name)
        if self.blocks != ALL:
            tower.freeze_below(chosen[0])
        return chosen

    def _chosen(self, num_blocks: int, tower: str) -> tuple[int, ...]:
        if self.blocks == ALL:
            return tuple(range(num_blocks))
        if isinstance(self.blocks, str):
            number = int(self.blocks.removeprefix(_TOP))
            if number > num_blocks:
                raise SettingsError(
                    f"strategy.blocks: {self.blocks}, and the {tower} tower has {num_blocks} blocks; take a smaller "
                    f"number, or {ALL}"
                )
            return tuple(range(num_blocks - number, num_blocks))
        chosen = self.blocks
        if not chosen:
            raise SettingsError(
                "strategy.blocks: [] names no block; take top_1, or strategy=frozen, which changes none"
            )
        if list(chosen) != sorted(set(chosen)) or chosen[0] < 0 or chosen[-1] >= num_blocks:
            raise SettingsError(
                f"strategy.blocks: {list(chosen)} must be strictly increasing between 0 and {num_blocks - 1}, the "
                f"blocks of the {tower} tower"
            )
        return chosen
