"""The hidden-state store of a run: which one its settings describe, and how it is provided."""

import sys
from pathlib import Path

import torch

from peftrec.code.fingerprint import Fingerprint
from peftrec.data.fingerprint import content_hashes, hash_lines
from peftrec.data.items import Items
from peftrec.hidden_states.building import BuildOptions, open_or_build
from peftrec.hidden_states.disk import explaining_disk
from peftrec.hidden_states.encoding import StateSource
from peftrec.hidden_states.key import StoreKey, TowerKey
from peftrec.hidden_states.listing import FoundStore, find_stores
from peftrec.hidden_states.manifest import StoreCode, TowerOrigin
from peftrec.hidden_states.store import HiddenStateStore, open_store
from peftrec.processes import ALONE, ProcessRank
from peftrec.settings.run import Settings
from peftrec.settings.run_identity import store_code
from peftrec.training.building.item_side import load_content_to_learn, load_towers


def provide_store(
    settings: Settings, items: Items, device: torch.device, processes: ProcessRank = ALONE
) -> HiddenStateStore:
    """Open the store that the settings describe, and build it first where it does not exist; processes that train
    together share the work. Its states are still on the disk (see `HiddenStateStore.placed`).

    Raises SettingsError where the strategy reads no hidden states, StoreError where the store is damaged or cannot be
    built.
    """
    code = store_code(settings)
    key = store_key(settings, items)
    directory = Path(settings.hidden_states.directory)
    if (same := processes.from_first(lambda: _same_states(directory, key))) is not None:
        if settings.reuse == "despite_code":
            assert same.key is not None
            return open_store(same.folder, same.key)
        if processes.is_first:
            _explain_new_code(same, code)

    def load() -> StateSource:
        # Each image is needed once: nothing is decoded beforehand, but threads are ahead of the towers.
        content = load_content_to_learn(settings, items, keep_bytes=0)
        towers = load_towers(settings, with_weights=True).to(device)
        return StateSource(towers=towers, content=content, item_ids=items.ids, device=device)

    return open_or_build(
        directory,
        key,
        load,
        origins=tower_origins(settings),
        options=BuildOptions(
            batch_size=settings.hidden_states.batch_size,
            code=StoreCode(modules=dict(code.modules), packages=dict(code.versions)),
        ),
        processes=processes,
    )


def _same_states(directory: Path, key: StoreKey) -> FoundStore | None:
    """Return a whole store of the same states that other code computed, the latest used, where the own is not there."""
    with explaining_disk(directory):
        if not directory.is_dir() or (directory / key.folder_name()).exists():
            return None
    found = [
        store
        for store in find_stores(directory)
        if store.state == "whole" and store.key is not None and store.key.without_code() == key.without_code()
    ]
    return max(found, key=lambda store: store.used_at, default=None)


def _explain_new_code(store: FoundStore, code: Fingerprint) -> None:
    assert store.code is not None
    former = Fingerprint(modules=store.code.modules, versions=store.code.packages)
    print(
        f"{store.folder}: a store of these states, computed by other code ({code.differences(former)}), so they are "
        "computed anew; to take it all the same, say reuse=despite_code",
        file=sys.stderr,
    )


def store_key(settings: Settings, items: Items) -> StoreKey:
    """Describe the store of all that the strategy reads; loads no weights."""
    depths = {name: part.num_blocks(name) for name, part in settings.towers.parts.items()}
    stored = settings.strategy.stored(depths)
    weights = settings.towers.weights_hashes(seed=settings.seed)
    contents = content_hashes(items, settings.towers.contents)
    preprocessing = settings.towers.preprocessing()
    return StoreKey(
        items=hash_lines(items.ids),
        num_items=len(items),
        form=stored.form,
        dtype=settings.hidden_states.dtype,
        compute=settings.hidden_states.compute,
        code=store_code(settings).digest,
        towers={
            name: TowerKey(
                weights=weights[name],
                content=contents[name],
                preprocessing=preprocessing[name],
                pooling=part.pooling_of(name) if stored.form == "pooled" else "none",
                states=stored.layers[name],
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
