"""What a folder and a zip of images share: names by item, selection, fingerprint, and the check before training."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

from PIL import Image

from peftrec.data.images.decoding import CorruptImageError, blank_image, decode_rgb
from peftrec.errors import DataError

SUFFIXES = ("jpg", "jpeg", "png", "webp")

BLANK = ""
"""Name of the blank image; no file has an empty name."""


@dataclass(frozen=True, kw_only=True)
class StoredImages(ABC):
    """Images by item; `names[item]` is a file's name, None where the item has no image, or BLANK."""

    names: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.names)

    def load(self, item: int) -> Image.Image:
        """Return the item's image in RGB, in its own size."""
        name = self.names[item]
        if name is None:
            raise DataError(f"{self.place()}: item number {item} has no image")
        return blank_image() if name == BLANK else decode_rgb(self.read(name), self.place(name))

    def select(self, items: Sequence[int]) -> Self:
        """Return the source restricted to `items`, in their order."""
        return replace(self, names=tuple(self.names[item] for item in items))

    def blank(self, items: Collection[int]) -> Self:
        """Return the source with blank images for `items`."""
        blanked = set(items)
        return replace(self, names=tuple(BLANK if item in blanked else name for item, name in enumerate(self.names)))

    def fingerprint(self) -> str:
        """Return a hash of all names and their stamps, in the order of the items."""
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(repr((name, self.stamp(name) if name else 0)).encode())
        return digest.hexdigest()

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the bytes of one file: CorruptImageError if they are damaged, DataError if they cannot be read."""

    @abstractmethod
    def stamp(self, name: str) -> int:
        """Return a number that changes when the file `name` changes, without reading it."""

    @abstractmethod
    def place(self, name: str = "") -> str:
        """Return how messages call the source, or the file `name` in it."""

    @abstractmethod
    def looked_for(self, item_id: str) -> str:
        """Return where the image of `item_id` would lie."""


def match_names(ids: Sequence[str], names: Iterable[str], place: str) -> tuple[str | None, ...]:
    """Return the name `<anything>/<id>.<suffix>` of each id, None where there is none; two for one id are refused."""
    wanted = set(ids)
    found: dict[str, str] = {}
    for name in names:
        stem, _, suffix = name.replace("\\", "/").rpartition("/")[2].rpartition(".")
        if suffix.lower() not in SUFFIXES or stem not in wanted:
            continue
        if stem in found:
            raise DataError(f"{place}: item {stem!r} has two images, {found[stem]} and {name}: remove one")
        found[stem] = name
    return tuple(found.get(item_id) for item_id in ids)


def other_suffixes() -> str:
    """Return the suffixes besides the first, for messages."""
    return ", ".join(f".{suffix}" for suffix in SUFFIXES[1:])


def find_corrupt(images: StoredImages, items: Iterable[int]) -> dict[int, str]:
    """Decode the images of `items` completely, in threads; return what is wrong, by item.

    Pillow decodes outside the interpreter lock, so this costs the machine's cores about a millisecond per thumbnail,
    once, and no epoch can end in the middle for a truncated file.
    """

    def fault(item: int) -> str | None:
        try:
            images.load(item)
        except CorruptImageError as error:
            return str(error)
        return None

    order = list(items)
    with ThreadPoolExecutor() as pool:
        faults = dict(zip(order, pool.map(fault, order), strict=True))
    return {item: message for item, message in faults.items() if message is not None}
