"""The towers of a run beside each other: what batches hold for each, and where stored states come from."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor, nn

from peftrec.data.batches import ItemBatch, TokenBatch
from peftrec.errors import SettingsError
from peftrec.models.towers.names import TowerName, in_order
from peftrec.models.towers.tower import Tower


@runtime_checkable
class StateReader(Protocol):
    """Hidden states by item index; a hidden-state store is one."""

    def read(self, items: Int[Tensor, " item"]) -> Mapping[TowerName, Tensor | TokenBatch]:
        """Return the stored states of the items: pooled ones as `Float[item state hidden]`, or those of all tokens."""
        ...

    @property
    def scales(self) -> Mapping[TowerName, Tensor]:
        """Of towers whose stored states have scales that all items share, these (see `stored_precision.restore`)."""
        ...


class Towers(nn.Module):
    """A text tower, an image tower, both, or any number under names of their own."""

    def __init__(self, **towers: Tower | None) -> None:
        super().__init__()
        for name, tower in {"text": None, "image": None, **towers}.items():
            if hasattr(nn.ModuleDict, name) or hasattr(self, name):
                raise SettingsError(f"towers.{name}: torch's modules have something of that name; choose another")
            self.add_module(name, tower)
        self._reader: StateReader | None = None

    def start_from_stored(self, layers: Mapping[TowerName, tuple[int, ...]], *, keeps_blocks: bool = False) -> None:
        """Let go of what lies below the last of each tower's layers (see `Tower.start_from_stored`)."""
        for name, tower in self.present().items():
            tower.start_from_stored(layers[name], keeps_blocks=keeps_blocks)

    def read_from(self, reader: StateReader) -> None:
        """Take the states of tokens that batches do not bring from a store."""
        self._reader = reader
        for name, tower in self.present().items():
            if tower.prefix is not None:
                tower.prefix.scales = reader.scales.get(name)

    def stored_layers(self) -> dict[TowerName, tuple[int, ...]]:
        """Return which states of its tokens each tower takes, where it starts from stored ones."""
        present = self.present().items()
        return {name: tower.prefix.layers for name, tower in present if tower.prefix is not None}

    def inputs(self, batch: ItemBatch) -> dict[TowerName, Any]:
        """Return what each tower encodes of a batch: its content, or stored states of its tokens."""
        if not self.stored_layers():
            return {name: batch.content(name) for name in self.present()}
        if batch.states is not None:
            return {name: batch.states[name] for name in self.present()}
        assert self._reader is not None, "towers that start from stored states read a store"
        return dict(self._reader.read(batch.items))

    def filled(self, batch: ItemBatch) -> ItemBatch:
        """Return a batch with what the towers encode of it; where that is stored states, as numbers, so that towers of
        the same shape encode it too, whatever a store keeps."""
        if not self.stored_layers():
            return batch
        towers = self.present()
        return replace(
            batch, states={name: towers[name].restored(tokens) for name, tokens in self.inputs(batch).items()}
        )

    def token_states(
        self, batch: ItemBatch, indices: Mapping[TowerName, tuple[int, ...]]
    ) -> dict[TowerName, TokenBatch]:
        """Encode a batch of items to what a store of token states holds of them, in the towers' precision."""
        found: dict[TowerName, TokenBatch] = {}
        for name, tower in self.present().items():
            inputs = batch.content(name)
            states = torch.stack(list(tower.token_states(inputs, indices[name]).values()), dim=2)
            found[name] = TokenBatch(states=states, mask=tower.token_mask(inputs, states.shape[1]))
        return found

    def present(self) -> dict[TowerName, Tower]:
        """Return the towers there are, image first (see `in_order`)."""
        towers = {name: tower for name, tower in self._modules.items() if isinstance(tower, Tower)}
        return {name: towers[name] for name in in_order(towers)}

    def widths(self) -> dict[TowerName, int]:
        """Return each tower's width."""
        return {name: tower.width for name, tower in self.present().items()}

    def depths(self) -> dict[TowerName, int]:
        """Return each tower's number of blocks."""
        return {name: tower.num_blocks for name, tower in self.present().items()}

    def parts_below(self) -> list[nn.Module]:
        """Return what lies below the lowest open block of each tower."""
        return [part for tower in self.present().values() for part in tower.parts_below()]

    @property
    def device(self) -> torch.device:
        """Where the towers are; a tower may have no parameters."""
        return next(chain(self.parameters(), self.buffers())).device

    def forward(self, batch: ItemBatch) -> dict[TowerName, Tensor]:
        """Encode a batch of items to one output vector per tower."""
        return {name: self.present()[name](inputs) for name, inputs in self.inputs(batch).items()}

    def states(self, batch: ItemBatch, indices: Mapping[TowerName, tuple[int, ...]]) -> dict[TowerName, Tensor]:
        """Encode a batch of items to the chosen hidden states of each tower."""
        return {name: tower.states(batch.content(name), indices[name]) for name, tower in self.present().items()}
