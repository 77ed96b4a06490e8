"""What a hidden-state store would hold of a run's towers, as tensors without values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from peftrec.data.batches import StateBatch, TokenBatch
from peftrec.hidden_states.rows import gather
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.stored_precision import element_type, restore, row_width
from peftrec.models.towers.towers import Towers
from peftrec.planning.batches import BatchShape
from peftrec.planning.fake_items import fake_items
from peftrec.settings.run import Settings
from peftrec.strategies.base import Stored
from peftrec.training.building.item_side import load_towers


@dataclass(kw_only=True)
class FakeStates:
    """Stands in for a hidden-state store."""

    states: Mapping[TowerName, Shaped[Tensor, "candidate state kept"]]
    scales: Mapping[TowerName, Float[Tensor, "state hidden"]]
    read_tokens: Callable[[], StateBatch] | None = None
    """Makes what the next step gathers, where the states are those of all tokens."""

    def read(self, items: Int[Tensor, " item"]) -> Mapping[TowerName, Tensor | TokenBatch]:
        """Gather as a store does."""
        if self.read_tokens is not None:
            return self.read_tokens()
        return {
            name: restore(gather(tensor, items), scales=self.scales.get(name)) for name, tensor in self.states.items()
        }


@dataclass(frozen=True, kw_only=True)
class StoredStates:
    """What a store would keep: the towers that compute it, on the meta device, and which of their states."""

    towers: Towers
    kept: Stored
    image_tokens: Mapping[TowerName, int]
    """Tokens that each image tower makes of a picture, where states of all are kept."""

    def rows_an_item(self, tower: TowerName, title_tokens: Mapping[TowerName, float]) -> float:
        """Return how many vectors a state of an item is, where its titles have so many tokens."""
        if self.kept.form == "pooled":
            return 1
        return self.image_tokens[tower] if tower in self.image_tokens else title_tokens[tower]


def stored_states(settings: Settings) -> StoredStates:
    """Find out what the run's store would keep. Raises SettingsError for towers that cannot be built."""
    towers = load_towers(settings, with_weights=False)
    kept = settings.strategy.stored(towers.depths())
    image_tokens: dict[TowerName, int] = {}
    if kept.form == "tokens" and settings.towers.image_encoders:
        one = BatchShape(num_users=0, num_items=1, title_tokens=dict.fromkeys(settings.towers.text_encoders, 1))
        item = fake_items(settings, one, device="meta")
        for name in settings.towers.image_encoders:
            image_tokens[name] = towers.present()[name].token_states(item.content(name), (0,))[0].shape[1]
    return StoredStates(towers=towers, kept=kept, image_tokens=image_tokens)


def fake_states(
    settings: Settings,
    stored: StoredStates,
    num_items: int,
    mean_tokens: Mapping[TowerName, float],
    mode: FakeTensorMode,
) -> dict[TowerName, Tensor]:
    """Make the states of all items, whose titles have so many tokens on average."""
    rows = {name: round(num_items * stored.rows_an_item(name, mean_tokens)) for name in stored.towers.present()}
    with mode:
        return {name: _kept(settings, stored, name, number) for name, number in rows.items()}


def fake_scales(settings: Settings, stored: StoredStates, mode: FakeTensorMode) -> dict[TowerName, Tensor]:
    """Make the scales that all items share, where they do."""
    if settings.hidden_states.dtype != "int8_channels":
        return {}
    towers = stored.towers.present()
    with mode:
        return {name: torch.empty(len(stored.kept.layers[name]), tower.width) for name, tower in towers.items()}


def _kept(settings: Settings, stored: StoredStates, name: TowerName, *rows: int) -> Tensor:
    """Make so many rows of a tower's states, as they are kept."""
    precision, tower = settings.hidden_states.dtype, stored.towers.present()[name]
    size = (*rows, len(stored.kept.layers[name]), row_width(tower.width, precision))
    return torch.empty(size, dtype=getattr(torch, element_type(precision)))


def fake_tokens(settings: Settings, stored: StoredStates, shape: BatchShape) -> StateBatch:
    """Make stored states of tokens."""
    batches: dict[str, TokenBatch] = {}
    for name in stored.towers.present():
        tokens = round(stored.rows_an_item(name, shape.title_tokens))
        batches[name] = TokenBatch(
            states=_kept(settings, stored, name, shape.num_items, tokens),
            mask=torch.empty(shape.num_items, tokens, dtype=torch.bool),
        )
    return batches
