"""From the tables of a reader to a catalogue: what is checked, and what policies do about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path

from peftrec.data.catalogue import Catalogue
from peftrec.data.choices import Policy
from peftrec.data.global_time import times_of
from peftrec.data.images.checking import REMEMBERED_FROM, corrupt_images
from peftrec.data.images.decoding import Decoding
from peftrec.data.images.folder import FolderImages
from peftrec.data.images.opening import open_images
from peftrec.data.images.rendered import RenderedImages
from peftrec.data.images.stored import StoredImages
from peftrec.data.items import ImageSource, Items
from peftrec.data.source import DataSource
from peftrec.data.tables.policies import (
    CORRUPT_IMAGE,
    EMPTY_TITLE,
    MISSING_IMAGE,
    Fault,
    Screening,
    empty_text,
    towers_need,
    without_towers,
)
from peftrec.data.tables.tables import HistoryTable, ItemTable
from peftrec.errors import DataError


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """Tables as read, and what the configuration says about the content of their items."""

    source: DataSource
    """Whose rules of length and split hold."""
    root: Path
    items: ItemTable
    histories: HistoryTable
    images: str | None
    """Folder, zip or LMDB below `root`."""
    rendered_images: int | None
    missing_images: Policy
    corrupt_images: Policy
    decoding: Decoding
    """How image files become images."""
    empty_titles: Policy
    empty_texts: Policy

    def catalogue(
        self, *, titles: Sequence[str], images: Sequence[str], texts: Mapping[str, Sequence[str]]
    ) -> Catalogue:
        """Check cheap things before expensive ones: histories, texts, image names, pixels. Content is checked for the
        items that occur in a history, and only where towers are named that read it.

        Raises DataError that names all mistakes, each with file, line and remedy.
        """
        items = self.items
        if titles and items.titles is None:
            raise DataError(
                f"{items.file}: {towers_need(titles)} text and the data names no field: set {without_towers(titles)}"
            )
        if self.source.split == "global_time":
            times_of(self.histories.interactions)
        screening = Screening(source=self.source, histories=self.histories, counts=dict(self.histories.counts))
        screening.settle_short_histories()
        cleaned = None if items.titles is None else _cleaned(items.titles)
        if titles and cleaned is not None:
            self._screen_texts(screening, cleaned, EMPTY_TITLE.read_by(titles), self.empty_titles)
        further = {name: _cleaned(items.texts[name]) for name in texts}
        for name, found in further.items():
            self._screen_texts(screening, found, empty_text(name).read_by(texts[name]), self.empty_texts)
        pictures = self._screen_images(screening, images) if images else None
        screening.mistakes.refuse()
        return Catalogue(
            items=Items(ids=items.ids, titles=cleaned, images=pictures, texts=further),
            interactions=screening.histories.interactions,
            counts=screening.counts,
        )

    def _screen_texts(self, screening: Screening, texts: Sequence[str], fault: Fault, policy: Policy) -> None:
        items = self.items
        empty = [item for item in screening.histories.occurring().tolist() if not texts[item]]
        faulty = {item: f"{items.place(item)} (item {items.ids[item]!r})" for item in empty}
        screening.settle(fault, policy, faulty)

    def _screen_images(self, screening: Screening, towers: Sequence[str]) -> ImageSource:
        items = self.items
        if self.rendered_images is not None:
            return RenderedImages(ids=items.ids, side=self.rendered_images)
        pictures, looked_for = self._find_images()
        missing = [item for item in screening.histories.occurring().tolist() if pictures.names[item] is None]
        faulty = {item: f"item {items.ids[item]!r} at {looked_for(item)}" for item in missing}
        pictures = pictures.blank(screening.settle(MISSING_IMAGE.read_by(towers), self.missing_images, faulty))
        occurring = screening.histories.occurring().tolist()
        if len(occurring) >= REMEMBERED_FROM:
            screening.mistakes.refuse(unseen="whether the images can be decoded was not looked at yet")
        corrupt = corrupt_images(pictures, occurring)
        named = {item: f"item {items.ids[item]!r} at {message}" for item, message in corrupt.items()}
        return pictures.blank(screening.settle(CORRUPT_IMAGE.read_by(towers), self.corrupt_images, named))

    def _find_images(self) -> tuple[StoredImages, Callable[[int], str]]:
        """Return the images by item, and how messages call the place where an item's image was looked for."""
        items, root, paths = self.items, self.root, self.items.image_paths
        if paths is None:
            pictures = open_images(root / str(self.images), items.ids, key="data.images")
            return (
                pictures.decoded(self.decoding),
                lambda item: pictures.looked_for(items.ids[item]) + pictures.instead(items.ids[item]),
            )
        names = tuple(path if path and (root / path).is_file() else None for path in paths)
        return FolderImages(
            folder=root, names=names, decoding=self.decoding
        ), lambda item: f"{root / paths[item]}" if paths[item] else f"{items.place(item)}: no path"


def _cleaned(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(clean_text(text) for text in texts)


def clean_text(text: str) -> str:
    """Resolve HTML entities (`&amp;`) and collapse white space; case is the tokenizer's matter."""
    return " ".join(unescape(text).split())
