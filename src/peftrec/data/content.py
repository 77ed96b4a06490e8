"""Items as tower inputs: titles tokenised once, images decoded in workers or kept as bytes where they fit."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from peftrec.data.batches import FeatureBatch, ImageBatch, ItemBatch, PatchBatch, StateBatch, TextBatch
from peftrec.data.choices import Resampling
from peftrec.data.items import ImageSource
from peftrec.data.patches import PatchTransform

MOST_RESIZED_PIXELS = 2**23
"""An image that is resized and then cropped is resized whole up to this size, 25 MB; a photograph takes 2**17."""


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

    def are_alike(self) -> bool:
        """Say whether all titles are the same tokens."""
        lengths = self.lengths()
        if (lengths != lengths[0]).any():
            return False
        rows = self.token_ids.reshape(len(lengths), -1)
        return bool((rows == rows[0]).all())

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
    """Size, filter and normalisation that an image tower was trained with."""

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resampling: Resampling = "bilinear"
    """The published code resizes with the bilinear one."""
    cropped_from: int | tuple[int, int] | None = None
    """What images are resized to before their middle is cut out: the length of the shorter side, or height and width.
    Null resizes both sides at once to the size itself, so that nothing is cropped away."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an image's pixels."""
        return 3, self.height, self.width

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that all images end with."""
        return self.height, self.width

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of what an image becomes."""
        return self.size

    def batch(self, pixels: npt.NDArray[np.uint8], grids: npt.NDArray[np.int64]) -> ImageBatch:
        """Put images beside each other."""
        return ImageBatch(pixels=torch.from_numpy(pixels), mean=self.mean, std=self.std)

    def blank(self, num_items: int) -> ImageBatch:
        """Return images of unsaid pixels, on torch's default device."""
        pixels = torch.empty(num_items, *self.shape, dtype=torch.uint8)
        return ImageBatch(pixels=pixels, mean=self.mean, std=self.std)

    def describe(self) -> str:
        """Say what it does, for a person."""
        return f"images resized to {self.height} x {self.width}"

    def pixels(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Resize, and crop where that is asked for, to channels-first bytes.

        Of an image that is very long, only the middle is resized: the whole one could take gigabytes.
        """
        height, width = self._resized(image.height, image.width)
        if height * width > MOST_RESIZED_PIXELS:
            return _channels_first(self._resized_middle(image, height, width))
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling[self.resampling.upper()])
        if (height, width) != (self.height, self.width):
            left, top = (width - self.width) // 2, (height - self.height) // 2
            image = image.crop((left, top, left + self.width, top + self.height))
        return _channels_first(image)

    def _resized_middle(self, image: Image.Image, height: int, width: int) -> Image.Image:
        """Return what resizing to `height` and `width` and cropping give, within two levels of rounding."""
        across, down = image.width / width, image.height / height
        left, top = (width - self.width) // 2 * across, (height - self.height) // 2 * down
        box = (left, top, left + self.width * across, top + self.height * down)
        return image.resize((self.width, self.height), Image.Resampling[self.resampling.upper()], box=box)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that an image has before it is cropped."""
        if self.cropped_from is None:
            return self.height, self.width
        if not isinstance(self.cropped_from, int):
            return self.cropped_from
        shorter = min(height, width)
        longer = int(self.cropped_from * max(height, width) / shorter)  # rounded as transformers rounds
        return (self.cropped_from, longer) if height <= width else (longer, self.cropped_from)


def _channels_first(image: Image.Image) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


class Pixels:
    """Images of all items; decoded when asked for, or once where `keep_bytes` holds them all."""

    def __init__(self, source: ImageSource, transform: ImageTransform | PatchTransform, *, keep_bytes: int) -> None:
        self.source = source
        self.transform = transform
        fits = math.prod(transform.shape) * len(source) <= keep_bytes
        self._kept = self._decode_all() if fits else None

    def _decode_all(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        pixels = np.empty((len(self.source), *self.transform.shape), dtype=np.uint8)
        grids = np.empty((len(self.source), 2), dtype=np.int64)

        def fill(item: int) -> None:
            pixels[item], grids[item] = self._decode(item)

        with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
            for _ in pool.map(fill, range(len(pixels))):
                pass
        return pixels, grids

    def _decode(self, item: int) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
        """Return an item's pixels, and what the sides of its image become."""
        image = self.source.load(item)
        return self.transform.pixels(image), self.transform.grid(image.height, image.width)

    def grids(self) -> npt.NDArray[np.int64]:
        """Return what the sides of all images become."""
        if self._kept is not None:
            return self._kept[1]

        def grid(item: int) -> tuple[int, int]:
            image = self.source.load(item)
            return self.transform.grid(image.height, image.width)

        with ThreadPoolExecutor() as pool:
            return np.array(list(pool.map(grid, range(len(self.source)))), dtype=np.int64)

    def are_alike(self) -> bool:
        """Say whether all images are the same pixels.

        The first that differs ends it. Images are looked at in an order drawn once and for all, so that few are decoded
        even where a catalogue begins with thousands of the same: where 99 of 100 are, a hundred on average.
        """
        order = np.random.default_rng(0).permutation(len(self.source))
        first_pixels, first_grid = self._one(order[0])
        for item in order[1:]:
            pixels, grid = self._one(item)
            if tuple(grid) != tuple(first_grid) or not np.array_equal(pixels, first_pixels):
                return False
        return True

    def _one(self, item: np.integer) -> tuple[npt.NDArray[np.uint8], Sequence[int]]:
        if self._kept is None:
            return self._decode(int(item))
        pixels, grids = self._kept
        return pixels[item], grids[item].tolist()

    def batch(self, items: npt.NDArray[np.integer]) -> ImageBatch | PatchBatch:
        """Return the pixels of `items`."""
        if self._kept is not None:
            pixels, grids = (part[items] for part in self._kept)
        else:
            decoded = [self._decode(int(item)) for item in items]
            pixels, grids = np.stack([each for each, _ in decoded]), np.array([grid for _, grid in decoded])
        return self.transform.batch(pixels, grids)


Tokenise = Callable[[Sequence[str]], list[list[int]]]


class TowerContent(Protocol):
    """What one tower reads of all items: tokens of titles, pixels of images, or ready features."""

    def batch(self, items: npt.NDArray[np.integer]) -> TextBatch | ImageBatch | PatchBatch | FeatureBatch:
        """Collate what it reads of `items`."""
        ...


class StoredStates(Protocol):
    """Hidden states on the host or the disk, for batches to carry; a hidden-state store is one."""

    def batch(self, items: npt.NDArray[np.integer]) -> StateBatch:
        """Return the stored states of `items`."""
        ...


@dataclass(frozen=True, kw_only=True)
class ItemContent:
    """What batches carry besides item indices; nothing where the device holds all states or ids are read."""

    by_tower: Mapping[str, TowerContent] = field(default_factory=dict)
    """What each tower reads."""
    states: StoredStates | None = None
    """A hidden-state store that the device does not hold, in place of everything else."""
    token_counts: npt.NDArray[np.int64] | None = None
    """How many tokens each item has, where a store holds states of all."""

    def encoding_order(self, num_items: int) -> npt.NDArray[np.int64]:
        """Return all items, longest title first: neighbours need little padding, and scarce memory shows at once."""
        titles = [content.lengths() for content in self.by_tower.values() if isinstance(content, TokenisedTitles)]
        lengths = np.sum(titles, axis=0) if titles else self.token_counts
        return np.arange(num_items) if lengths is None else np.argsort(-lengths, kind="stable")

    def batch(self, items: npt.NDArray[np.integer]) -> ItemBatch:
        """Collate the content of distinct items."""
        return ItemBatch(
            items=torch.from_numpy(items.astype(np.int64)),
            contents={name: content.batch(items) for name, content in self.by_tower.items()},
            states=None if self.states is None else self.states.batch(items),
        )
