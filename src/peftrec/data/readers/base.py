"""What readers of files share: where the files lie, the policies, and the road from tables to a catalogue."""

from abc import abstractmethod
from html import unescape
from pathlib import Path

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.data.images.opening import open_images
from peftrec.data.images.stored import StoredImages, find_corrupt
from peftrec.data.items import Items
from peftrec.data.locations import require_folder
from peftrec.data.policies import CORRUPT_IMAGE, EMPTY_TITLE, MISSING_IMAGE, Policy, Screening
from peftrec.data.source import Catalogue, DataSource
from peftrec.data.tables import HistoryTable, ItemTable
from peftrec.errors import DataError
from peftrec.strict import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FileSource(DataSource):
    """A folder of files. A reader of another format implements `read_tables`; the checks are the same for all.

    Content is checked for the items that occur in a history, all others are never candidates, and only in the
    modalities asked for.
    """

    root: str = Field(min_length=1)
    """Folder that holds the files."""

    images: str | None = None
    """Folder or zip below `root` with one image per item, named by the item's id; null for data without images."""

    missing_images: Policy = "error"
    """An item without an image file: an error, dropped from all histories, or given a grey image."""

    corrupt_images: Policy = "error"
    """An item whose image cannot be decoded: an error, dropped from all histories, or given a grey image."""

    empty_titles: Policy = "error"
    """An item without a title: an error, dropped from all histories, or kept with an empty text."""

    @abstractmethod
    def read_tables(self, root: Path) -> tuple[ItemTable, HistoryTable]:
        """Read and number items and histories; no policy is applied yet."""

    def read(self, *, text: bool, images: bool) -> Catalogue:
        """Read the tables, then check cheap things before expensive ones: histories, titles, image names, pixels."""
        root = require_folder(self.root, key="data.root")
        if images and self.images is None:
            raise DataError(
                f"{root}: the image tower needs images and the data names none: set data.images=<folder or zip below "
                "data.root>, or towers.image=null"
            )
        items, histories = self.read_tables(root)
        screening = Screening(source=self, histories=histories)
        screening.settle_short_histories()
        titles = tuple(clean_title(title) for title in items.titles)
        if text:
            self._screen_titles(screening, items, titles)
        pictures = self._screen_images(screening, items, root / self.images) if images and self.images else None
        return Catalogue(
            items=Items(ids=items.ids, titles=titles, images=pictures),
            interactions=screening.histories.interactions,
            counts=screening.counts,
        )

    def _screen_titles(self, screening: Screening, items: ItemTable, titles: tuple[str, ...]) -> None:
        empty = [int(item) for item in screening.histories.occurring() if not titles[item]]
        faulty = {item: f"{items.place(item)} (item {items.ids[item]!r})" for item in empty}
        screening.settle(EMPTY_TITLE, self.empty_titles, faulty)

    def _screen_images(self, screening: Screening, items: ItemTable, path: Path) -> StoredImages:
        pictures = open_images(path, items.ids, key="data.images")
        missing = [int(item) for item in screening.histories.occurring() if pictures.names[item] is None]
        faulty = {item: f"item {items.ids[item]!r} at {pictures.looked_for(items.ids[item])}" for item in missing}
        pictures = pictures.blank(screening.settle(MISSING_IMAGE, self.missing_images, faulty))
        present = [int(item) for item in screening.histories.occurring()]
        corrupt = find_corrupt(pictures, present)
        named = {item: f"item {items.ids[item]!r} at {message}" for item, message in corrupt.items()}
        return pictures.blank(screening.settle(CORRUPT_IMAGE, self.corrupt_images, named))


def clean_title(title: str) -> str:
    """Resolve HTML entities (`&amp;`) and collapse white space; case is the tokenizer's matter."""
    return " ".join(unescape(title).split())
