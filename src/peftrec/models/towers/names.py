"""What towers and their states are called."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

Modality = Literal["text", "image"]
"""What an encoder reads: titles or images."""

TowerName = str
"""What the configuration calls a tower: `text` and `image`, and any name for those beside them."""

FIRST: tuple[TowerName, ...] = ("image", "text")
"""Towers in the order of the published fusion layer: image first."""


def in_order(names: Iterable[TowerName]) -> list[TowerName]:
    """Return names of towers in the order in which they are fused: image, text, then the others by their names, so that
    no result depends on the order in which a configuration gives them."""
    given = set(names)
    return [name for name in (*FIRST, *sorted(given - set(FIRST))) if name in given]


def seed_of(name: TowerName, seed: int) -> int:
    """Return what decides a tower's random weights: the run's seed, and the name of one beside `text` and `image`, so
    that two random towers of one architecture are not one and the same."""
    return seed if name in FIRST else int.from_bytes(sha256(f"{seed} {name}".encode()).digest()[:4])


OUTPUT = -1
"""Index of a tower's output vector: the last state after the tower's final norm, where it has one (a ViT's and a CLIP's
last hidden state is taken before it, a BERT's after)."""

Weights = Literal["float32", "int8"]
"""How the weights of a tower's linear layers are kept."""

Pooling = Literal["cls", "mean", "last"]
"""`cls` takes the first token's state, `last` the last token's, `mean` averages (text: over the mask; image: over the
patches)."""

StateForm = Literal["pooled", "tokens"]
"""How a hidden-state store holds a state: pooled to one vector an item, or one for each of its tokens."""
