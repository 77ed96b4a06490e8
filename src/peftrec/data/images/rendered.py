"""Pictures made from item ids, so that data without images can go through an image tower: for cost, never quality."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from PIL import Image

GRID = 16
"""Side of the grid of random colours that a picture interpolates."""


@dataclass(frozen=True, kw_only=True)
class RenderedImages:
    """One RGB picture of `side` pixels per id, a function of the id alone (an `ImageSource`).

    They carry nothing that could be learnt, and no decoding: what a run spends on real images' files is not in its
    cost.
    """

    ids: tuple[str, ...]
    side: int

    def __len__(self) -> int:
        return len(self.ids)

    def load(self, item: int) -> Image.Image:
        """Render the item's picture."""
        colours = hashlib.shake_256(self.ids[item].encode()).digest(3 * GRID * GRID)
        return Image.frombytes("RGB", (GRID, GRID), colours).resize((self.side, self.side), Image.Resampling.BILINEAR)

    def select(self, items: Sequence[int]) -> Self:
        """Return the pictures of `items`, in their order."""
        return type(self)(ids=tuple(self.ids[item] for item in items), side=self.side)

    def fingerprint(self) -> str:
        """Say that the pictures are rendered, and their side, before the hash of the ids."""
        ids = json.dumps(self.ids, ensure_ascii=False).encode()
        return f"rendered-{self.side}-{hashlib.sha256(ids).hexdigest()}"
