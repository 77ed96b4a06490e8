"""Items as tower inputs: titles tokenised once, images decoded in workers or kept as bytes where they fit."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from peftrec.data.batches import ImageBatch, ItemBatch, TextBatch
from peftrec.data.items import ImageSource


@dataclass(frozen=True, kw_only=True)
class TokenisedTitles:
    """Token ids of all titles, flat with offsets; padding is made per batch and never kept."""

    token_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    padding_id: int

    @classmethod
    def from_lists(cls, titles: Sequence[Sequence[int]], padding_id: int) -> "TokenisedTitles":
        """Pack one list of token ids per title."""
        lengths = np.fromiter((len(title) for title in titles), dtype=np.int64, count=len(titles))
        return cls(
            token_ids=np.asarray([token for title in titles for token in title], dtype=np.int32),
            offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
            padding_id=padding_id,
        )

    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of tokens of each title."""
        return np.diff(self.offsets)

    def batch(self, items: npt.NDArray[np.integer]) -> TextBatch:
        """Pad the titles of `items` to the longest of them."""
        starts = self.offsets[items]
        lengths = self.offsets[items + 1] - starts
        places = np.arange(lengths.max())
        mask = places < lengths[:, None]
        flat = np.minimum(starts[:, None] + places, len(self.token_ids) - 1)
        token_ids = np.where(mask, self.token_ids[flat], self.padding_id)
        return TextBatch(token_ids=torch.from_numpy(token_ids.astype(np.int64)), mask=torch.from_numpy(mask))


@dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """Size and normalisation that an image tower was trained with."""

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def pixels(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Resize with Pillow's bilinear filter, as the published code does, to channels-first bytes."""
        if image.size != (self.width, self.height):
            image = image.resize((self.width, self.height), Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


class Pixels:
    """Images of all items; decoded when asked for, or once where `keep_bytes` holds them all."""

    def __init__(self, source: ImageSource, transform: ImageTransform, *, keep_bytes: int) -> None:
        self.source = source
        self.transform = transform
        self._kept: npt.NDArray[np.uint8] | None = None
        if 3 * transform.height * transform.width * len(source) <= keep_bytes:
            with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
                self._kept = np.stack(list(pool.map(self._decode, range(len(source)))))

    def _decode(self, item: int) -> npt.NDArray[np.uint8]:
        return self.transform.pixels(self.source.load(item))

    def batch(self, items: npt.NDArray[np.integer]) -> ImageBatch:
        """Return the pixels of `items`."""
        kept = self._kept
        pixels = np.stack([self._decode(int(item)) for item in items]) if kept is None else kept[items]
        return ImageBatch(pixels=torch.from_numpy(pixels), mean=self.transform.mean, std=self.transform.std)


Tokenise = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True, kw_only=True)
class ItemContent:
    """What batches carry besides item indices; nothing where states come from a store or ids are read."""

    titles: TokenisedTitles | None = None
    pixels: Pixels | None = None

    def batch(self, items: npt.NDArray[np.integer]) -> ItemBatch:
        """Collate the content of distinct items."""
        return ItemBatch(
            items=torch.from_numpy(items.astype(np.int64)),
            text=None if self.titles is None else self.titles.batch(items),
            image=None if self.pixels is None else self.pixels.batch(items),
        )
