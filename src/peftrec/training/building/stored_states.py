"""The hidden-state store of a run: which one its settings describe, and how it is provided."""

from pathlib import Path

import torch

from peftrec.data.fingerprint import content_hashes, hash_lines
from peftrec.data.items import Items
from peftrec.errors import SettingsError
from peftrec.hidden_states.building import BuildOptions, open_or_build
from peftrec.hidden_states.encoding import StateSource
from peftrec.hidden_states.key import StoreKey, TowerKey
from peftrec.hidden_states.manifest import TowerOrigin
from peftrec.hidden_states.store import HiddenStateStore
from peftrec.processes import ALONE, ProcessRank
from peftrec.settings.run import Settings
from peftrec.settings.run_identity import store_code
from peftrec.strategies.base import STORED_KINDS
from peftrec.training.building.item_side import load_content, load_towers


def provide_store(
    settings: Settings, items: Items, device: torch.device, processes: ProcessRank = ALONE
) -> HiddenStateStore:
    """Open the store that the settings describe, and build it first where it does not exist; processes that train
    together share the work. Its states are still on the disk (see `HiddenStateStore.placed`).

    Raises SettingsError where the strategy reads no hidden states, StoreError where the store is damaged or cannot be
    built.
    """
    key = store_key(settings, items)

    def load() -> StateSource:
        towers = load_towers(settings, with_weights=True).to(device)
        # Each image is needed once: nothing is decoded beforehand, but threads are ahead of the towers.
        content = load_content(settings, items, keep_bytes=0)
        return StateSource(towers=towers, content=content, item_ids=items.ids, device=device)

    return open_or_build(
        Path(settings.hidden_states.directory),
        key,
        load,
        origins=tower_origins(settings),
        options=BuildOptions(batch_size=settings.hidden_states.batch_size),
        processes=processes,
    )


def store_key(settings: Settings, items: Items) -> StoreKey:
    """Describe the store of all that the strategy reads; loads no weights."""
    strategy = settings.strategy
    if not (strategy.keeps_towers_frozen and strategy.read_kind in STORED_KINDS):
        raise SettingsError(f"strategy.states: {settings.strategy_name} reads no hidden states; use states=live")
    depths = {name: part.num_blocks(name) for name, part in settings.towers.parts.items()}
    layers = strategy.reads(depths).layers
    weights = settings.towers.weights_hashes(seed=settings.seed)
    contents = content_hashes(items)
    preprocessing = settings.towers.preprocessing()
    return StoreKey(
        items=hash_lines(items.ids),
        num_items=len(items),
        dtype=settings.hidden_states.dtype,
        compute=settings.hidden_states.compute,
        code=store_code(settings).digest,
        towers={
            name: TowerKey(
                weights=weights[name],
                content=contents[name],
                preprocessing=preprocessing[name],
                pooling=part.pooling_of(name),
                states=layers[name],
            )
            for name, part in settings.towers.parts.items()
        },
    )


def tower_origins(settings: Settings) -> dict[str, TowerOrigin]:
    """Return where the towers come from, in words."""
    return {
        name: TowerOrigin(checkpoint=part.origin(), revision=part.commit(name))
        for name, part in settings.towers.parts.items()
    }
