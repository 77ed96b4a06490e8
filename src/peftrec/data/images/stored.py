"""What a folder, a zip and an LMDB of images share: names by item, selection, fingerprint, the check of all images."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from PIL import Image

from peftrec.data.images.decoding import DEFAULT, Decoding, blank_image, decode_rgb
from peftrec.errors import DataError

SUFFIXES = ("jpg", "jpeg", "png", "webp")

BLANK = ""
"""Name of the blank image; no file has an empty name."""


@dataclass(frozen=True, kw_only=True)
class StoredImages(ABC):
    """Images by item; `names[item]` is a file's name, None where the item has no image, or BLANK."""

    names: tuple[str | None, ...]
    decoding: Decoding = DEFAULT

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


def match_names(ids: Sequence[str] | None, names: Iterable[str], place: str) -> tuple[str | None, ...]:
    """Return the name `<anything>/<id>.<suffix>` of each id, None where there is none; two for one id are refused.

    Without ids, all images are returned in the order of their ids, but for hidden files.
    """
    wanted = None if ids is None else set(ids)
    found: dict[str, str] = {}
    for name in names:
        stem, suffix = stem_of(name)
        is_wanted = not stem.startswith(".") if wanted is None else stem in wanted
        if suffix.lower() not in SUFFIXES or not stem or not is_wanted:
            continue
        if stem in found:
            raise DataError(f"{place}: item {stem!r} has two images, {found[stem]} and {name}: remove one")
        found[stem] = name
    return tuple(found.get(item_id) for item_id in (sorted(found) if ids is None else ids))


def stem_of(name: str) -> tuple[str, str]:
    """Return stem and suffix of a path in a zip (some have backslashes) or folder."""
    stem, _, suffix = name.replace("\\", "/").rpartition("/")[2].rpartition(".")
    return stem, suffix


def other_suffixes() -> str:
    """Return the suffixes besides the first, for messages."""
    return ", ".join(f".{suffix}" for suffix in SUFFIXES[1:])
