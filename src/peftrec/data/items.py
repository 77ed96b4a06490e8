"""What items are: their ids, texts and images, or what was computed from these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import numpy as np

from peftrec.data.choices import TITLE

if TYPE_CHECKING:
    from PIL import Image

    from peftrec.data.features import FeatureRows


@runtime_checkable
class ImageSource(Protocol):
    """Images by item index. Instances travel to loader workers, so open handles belong to the process that opened
    them and are never pickled."""

    def __len__(self) -> int: ...

    def load(self, item: int) -> "Image.Image":
        """Return the item's image in RGB, in its own size."""
        ...

    def select(self, items: Sequence[int]) -> Self:
        """Return the source restricted to `items`, in their order."""
        ...

    def fingerprint(self) -> str:
        """Return a hash that changes when an image changes, without decoding images."""
        ...


@dataclass(frozen=True, kw_only=True)
class Items:
    """Rows of the catalogue, in file order; a modality that the data lacks is None."""

    ids: tuple[str, ...]
    titles: tuple[str, ...] | None
    images: ImageSource | None
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further texts by their names, those that towers read."""
    features: "Mapping[str, FeatureRows]" = field(default_factory=dict)
    """Ready features by tower, in place of titles or images."""

    def __len__(self) -> int:
        return len(self.ids)

    def text(self, name: str) -> tuple[str, ...] | None:
        """Return the text of that name of each item, `title` or a further one; None where it was not read."""
        return self.titles if name == TITLE else self.texts.get(name)

    def select(self, items: np.ndarray) -> "Items":
        """Return the catalogue restricted to the item indices `items`, in their order."""
        chosen = [int(item) for item in items]
        return Items(
            ids=tuple(self.ids[item] for item in chosen),
            titles=None if self.titles is None else tuple(self.titles[item] for item in chosen),
            images=None if self.images is None else self.images.select(chosen),
            texts={name: tuple(text[item] for item in chosen) for name, text in self.texts.items()},
            features={name: rows.select(items) for name, rows in self.features.items()},
        )
