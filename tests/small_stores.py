"""A small catalogue whose states several test files store; built in a fraction of a second."""

from pathlib import Path
from typing import Literal

import numpy as np

from peftrec.data.content import ImageTransform, ItemContent, Pixels, TokenisedTitles
from peftrec.data.synthetic.pictures import RenderedPictures
from peftrec.hidden_states.building import BuildOptions, open_or_build
from peftrec.hidden_states.encoding import StateSource
from peftrec.hidden_states.key import StoreKey, TowerKey
from peftrec.hidden_states.manifest import TowerOrigin
from peftrec.hidden_states.store import HiddenStateStore
from peftrec.models.towers.names import OUTPUT, Modality, StateForm
from peftrec.models.towers.stored_precision import StoredPrecision
from peftrec.processes import ALONE, ProcessRank
from small_models import SIDE, SMALL_PAIRS, VOCABULARY

NUM_ITEMS = 23
INDICES: dict[Modality, tuple[int, ...]] = {"image": (0, 2, OUTPUT), "text": (1, 4)}
OPTIONS = BuildOptions(batch_size=5, save_seconds=0.0, num_threads=2)


def small_content(kind: type[ItemContent] = ItemContent, *, num_items: int = NUM_ITEMS) -> ItemContent:
    """Random titles of different lengths, and random pictures."""
    random = np.random.default_rng(0)
    lengths = random.permutation(np.arange(num_items) % 9 + 2)
    titles = [random.integers(1, VOCABULARY, length).tolist() for length in lengths]
    pictures = RenderedPictures(random.integers(0, 256, (num_items, SIDE, SIDE, 3), dtype=np.uint8))
    transform = ImageTransform(height=SIDE, width=SIDE, mean=(0.5,) * 3, std=(0.5,) * 3)
    return kind(
        by_tower={
            "text": TokenisedTitles.from_lists(titles, padding_id=0),
            "image": Pixels(pictures, transform, keep_bytes=2**30),
        }
    )


def small_source(
    pair: str = "text_and_image", content: ItemContent | None = None, *, num_items: int = NUM_ITEMS
) -> StateSource:
    """Random towers of width 16 and what they read."""
    ids = [f"item-{item}" for item in range(num_items)]
    return StateSource(
        towers=SMALL_PAIRS[pair].load(seed=0), content=content or small_content(num_items=num_items), item_ids=ids
    )


def key_of(
    dtype: StoredPrecision = "float32",
    *,
    pair: str = "text_and_image",
    num_items: int = NUM_ITEMS,
    compute: Literal["float32", "bfloat16"] = "float32",
    form: StateForm = "pooled",
) -> StoreKey:
    """Return the key of a store of that catalogue."""
    towers = {
        name: TowerKey(weights="w", content="c", preprocessing="p", pooling="cls", states=INDICES[name])
        for name in SMALL_PAIRS[pair].names
    }
    return StoreKey(items="i", num_items=num_items, form=form, dtype=dtype, compute=compute, towers=towers)


def build(
    directory: Path,
    key: StoreKey | None = None,
    source: StateSource | None = None,
    *,
    options: BuildOptions = OPTIONS,
    processes: ProcessRank = ALONE,
) -> HiddenStateStore:
    """Open or build a store of that catalogue."""
    key = key or key_of()
    return open_or_build(
        directory,
        key,
        lambda: source or small_source(num_items=key.num_items),
        origins={name: TowerOrigin(checkpoint=f"small {name}", revision=None) for name in key.towers},
        options=options,
        processes=processes,
    )


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Return the content of a store's arrays."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.npy"))}
