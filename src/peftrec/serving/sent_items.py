"""Items that somebody sent: their texts and the bytes of their images, checked as those of a file are."""

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Protocol, runtime_checkable

from PIL import Image

from peftrec.data.choices import TITLE
from peftrec.data.images.decoding import DEFAULT, Decoding, decode_rgb
from peftrec.data.items import Items
from peftrec.data.readers.base import FileSource
from peftrec.data.readers.screening import clean_text
from peftrec.errors import DataError
from peftrec.outputs.safe_text import for_line
from peftrec.settings.run import Settings


@runtime_checkable
class SentItem(Protocol):
    """An item as it was sent."""

    @property
    def id(self) -> str: ...

    @property
    def title(self) -> str | None: ...

    @property
    def texts(self) -> Mapping[str, str]:
        """Further texts by their names."""
        ...

    @property
    def image(self) -> str | None:
        """The bytes of an image file, in base64."""
        ...


@dataclass(frozen=True, kw_only=True)
class SentImages:
    """Image files in memory; each is decoded when it is encoded, and not before."""

    contents: tuple[bytes, ...]
    places: tuple[str, ...]
    """How messages call each."""
    decoding: Decoding

    def __len__(self) -> int:
        return len(self.contents)

    def load(self, item: int) -> Image.Image:
        """Return the item's image in RGB. Raises CorruptImageError for too large a one before it is decoded."""
        return decode_rgb(self.contents[item], self.places[item], self.decoding)

    def select(self, items: Sequence[int]) -> "SentImages":
        """Return the images of `items`, in their order."""
        chosen = [(self.contents[item], self.places[item]) for item in items]
        return replace(
            self, contents=tuple(content for content, _ in chosen), places=tuple(place for _, place in chosen)
        )

    def fingerprint(self) -> str:
        """Return a hash of all bytes."""
        return sha256(b"".join(sha256(content).digest() for content in self.contents)).hexdigest()


def sent_items(sent: Sequence[SentItem], settings: Settings, *, known: Collection[str], max_image_pixels: int) -> Items:
    """Check ids, texts and the encoding of images, as far as the run's towers read them; `known` are ids that are
    taken.

    Raises DataError that names the place of what is wrong: `items.3.title`. What is wrong with the pixels of an image
    is said when it is encoded.
    """
    towers = settings.towers
    _check_texts(sent)
    _check_ids([item.id for item in sent], known)
    titles = tuple(clean_text(item.title or "") for item in sent)
    if TITLE in towers.text_readers and "" in titles:
        raise DataError(f"items.{titles.index('')}.title: the run reads titles, and this one is missing or empty")
    texts = _further_texts(sent, settings)
    if not towers.image_encoders:
        if unread := [number for number, item in enumerate(sent) if item.image is not None]:
            raise DataError(f"items.{unread[0]}.image: the run reads no images; leave it out")
        return Items(ids=tuple(item.id for item in sent), titles=titles, images=None, texts=texts)
    how = settings.data.decoding() if isinstance(settings.data, FileSource) else DEFAULT
    places = tuple(f"items.{number}.image" for number in range(len(sent)))
    images = SentImages(
        contents=tuple(_bytes_of(item.image, place) for item, place in zip(sent, places, strict=True)),
        places=places,
        decoding=replace(how, max_pixels=max_image_pixels, key="max_image_pixels"),
    )
    return Items(ids=tuple(item.id for item in sent), titles=titles, images=images, texts=texts)


def texts_of(item: SentItem) -> Iterator[tuple[str, str]]:
    """Yield the texts of an item with the keys under which they stand."""
    yield "title", item.title or ""
    yield from ((f"texts.{for_line(name)}", text) for name, text in item.texts.items())


def _further_texts(sent: Sequence[SentItem], settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return the texts beside titles that the run reads."""
    read = [name for name in settings.towers.text_readers if name != TITLE]
    for number, item in enumerate(sent):
        if unread := [name for name in item.texts if name not in read]:
            has = f"it reads {', '.join(read)}" if read else "leave texts out"
            raise DataError(f"items.{number}.texts: the run reads no {unread[0]!r} beside the title; {has}")
    texts = {name: tuple(clean_text(item.texts.get(name, "")) for item in sent) for name in read}
    for name, found in texts.items():
        if "" in found and not settings.data.keeps_empty_texts:
            raise DataError(f"items.{found.index('')}.texts.{name}: the run reads it, and it is missing or empty")
    return texts


def _check_texts(sent: Sequence[SentItem]) -> None:
    r"""Refuse halves of characters, which JSON can hold (`"\ud800"`) and nothing that comes after it."""
    for number, item in enumerate(sent):
        for key, text in (("id", item.id), *texts_of(item)):
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise DataError(f"items.{number}.{key}: it holds half a character, {text!r}; send whole ones")


def _check_ids(ids: Sequence[str], known: Collection[str]) -> None:
    seen: set[str] = set()
    for number, item in enumerate(ids):
        if not item.strip():
            raise DataError(f"items.{number}.id: it is empty")
        if for_line(item) != item:
            raise DataError(
                f"items.{number}.id: {item!r} holds control characters, or some that nobody sees; give it an id without"
            )
        if item in known:
            raise DataError(f"items.{number}.id: {item!r} is in the catalogue already; give it an id of its own")
        if item in seen:
            raise DataError(f"items.{number}.id: {item!r} stands twice in this request; send it once")
        seen.add(item)


def _bytes_of(image: str | None, place: str) -> bytes:
    if image is None:
        raise DataError(f"{place}: the run reads images, and this one is missing; send its file in base64")
    if image.startswith("data:"):
        raise DataError(f"{place}: this is a data: URL; send what stands after its comma alone, the file in base64")
    try:
        return base64.b64decode("".join(image.split()), validate=True)  # base64 and MIME break lines
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{place}: this is no base64 ({error}); send the bytes of the image file in base64") from error
