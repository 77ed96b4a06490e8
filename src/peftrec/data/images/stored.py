"""What a folder, a zip and an LMDB of images share: names by item, selection, fingerprint, the check of all images."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

from PIL import Image

from peftrec.data.images.decoding import DEFAULT, Decoding, blank_image, decode_rgb
from peftrec.data.images.naming import stem_of
from peftrec.errors import DataError

BLANK = ""
"""Name of the blank image; no file has an empty name."""


@dataclass(frozen=True, kw_only=True)
class StoredImages(ABC):
    """Images by item; `names[item]` is a file's name, None where the item has no image, or BLANK."""

    names: tuple[str | None, ...]
    decoding: Decoding = DEFAULT
    unread: tuple[str, ...] = ()
    """Names of pictures of formats that are not read: those of items without an image, or all."""
    others: tuple[str, ...] = ()
    """Names of files that are no pictures by their suffix, where all images were asked for."""

    holds_files: ClassVar[bool] = True
    """Whether `read` returns the bytes of an image file."""

    def __len__(self) -> int:
        return len(self.names)

    def load(self, item: int) -> Image.Image:
        """Return the item's image in RGB, in its own size."""
        name = self.names[item]
        if name is None:
            raise DataError(f"{self.place()}: item number {item} has no image")
        return blank_image() if name == BLANK else self.decode(self.read(name), name)

    def decode(self, content: bytes, name: str) -> Image.Image:
        """Return the image that `read(name)` gave. Raises CorruptImageError."""
        return decode_rgb(content, self.place(name), self.decoding)

    def item_id(self, name: str) -> str:
        """Return the id of the item whose image has this name."""
        return stem_of(name)[0]

    def instead(self, item_id: str) -> str:
        """Say which picture of an item without an image is there but not read; empty where there is none."""
        name = self._unread_by_id.get(item_id)
        return "" if name is None else f"; {self.place(name)} is there, of a format that is not read"

    @cached_property
    def _unread_by_id(self) -> dict[str, str]:
        return {self.item_id(name): name for name in self.unread}

    def decoded(self, how: Decoding) -> Self:
        """Return the source with images that are decoded in another way."""
        return replace(self, decoding=how)

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
        if self.holds_files and self.decoding.orientation == "exif":
            digest.update(b"upright")
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
    def files(self) -> Iterator[Path]:
        """Yield the files on disk that hold the items' images."""

    @abstractmethod
    def place(self, name: str = "") -> str:
        """Return how messages call the source, or the file `name` in it."""

    @abstractmethod
    def looked_for(self, item_id: str) -> str:
        """Return where the image of `item_id` would lie."""
