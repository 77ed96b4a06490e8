"""What readers of files share: where the files lie, the policies, and the road from tables to a catalogue."""

from abc import abstractmethod
from collections.abc import Callable
from html import unescape
from pathlib import Path

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.global_time import times_of
from peftrec.data.images.checking import corrupt_images
from peftrec.data.images.folder import FolderImages
from peftrec.data.images.opening import open_images
from peftrec.data.images.rendered import RenderedImages
from peftrec.data.images.stored import StoredImages
from peftrec.data.items import ImageSource, Items
from peftrec.data.source import Catalogue, DataSource
from peftrec.data.tables.locations import require_folder
from peftrec.data.tables.policies import CORRUPT_IMAGE, EMPTY_TITLE, MISSING_IMAGE, Policy, Screening
from peftrec.data.tables.tables import HistoryTable, ItemTable
from peftrec.errors import DataError


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FileSource(DataSource):
    """A folder of files. A reader of another format implements `read_tables`; the checks are the same for all.

    Content is checked for the items that occur in a history, all others are never candidates, and only in the
    modalities asked for.
    """

    root: str = Field(min_length=1)
    """Folder that holds the files."""

    images: str | None = None
    """Folder, zip or LMDB below `root` with one image per item, named by the item's id; null for data without
    images."""

    rendered_images: int | None = Field(default=None, ge=16, le=1024)
    """In place of `images`, random pictures of so many pixels a side: to measure cost, never quality."""

    missing_images: Policy = "error"
    """An item without an image file: an error, dropped from all histories, or given a grey image."""

    corrupt_images: Policy = "error"
    """An item whose image cannot be decoded: an error, dropped from all histories, or given a grey image."""

    empty_titles: Policy = "error"
    """An item without a title: an error, dropped from all histories, or kept with an empty text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images is not None and self.rendered_images is not None:
            raise ValueError("images and rendered_images exclude each other; set one of them to null")

    @abstractmethod
    def read_tables(self, root: Path) -> tuple[ItemTable, HistoryTable]:
        """Read and number items and histories; no policy is applied yet."""

    @property
    def has_images(self) -> bool:
        """Say whether the configuration names images."""
        return self.images is not None or self.rendered_images is not None

    def read(self, *, text: bool, images: bool) -> Catalogue:
        """Read the tables, then check cheap things before expensive ones: histories, titles, image names, pixels."""
        root = require_folder(self.root, key="data.root")
        if images and not self.has_images:
            raise DataError(
                f"{root}: the image tower needs images and the data names none: set data.images=<folder, zip or LMDB "
                "below data.root>, or towers.image=null; to measure cost, data.rendered_images=224"
            )
        items, histories = self.read_tables(root)
        if text and items.titles is None:
            raise DataError(
                f"{items.file}: the text tower needs text and the data names no field: set towers.text=null"
            )
        if self.split == "global_time":
            times_of(histories.interactions)
        screening = Screening(source=self, histories=histories, counts=dict(histories.counts))
        screening.settle_short_histories()
        titles = None if items.titles is None else tuple(clean_title(title) for title in items.titles)
        if text and titles is not None:
            self._screen_titles(screening, items, titles)
        pictures = self._screen_images(screening, items, root) if images else None
        return Catalogue(
            items=Items(ids=items.ids, titles=titles, images=pictures),
            interactions=screening.histories.interactions,
            counts=screening.counts,
        )

    def _screen_titles(self, screening: Screening, items: ItemTable, titles: tuple[str, ...]) -> None:
        empty = [item for item in screening.histories.occurring().tolist() if not titles[item]]
        faulty = {item: f"{items.place(item)} (item {items.ids[item]!r})" for item in empty}
        screening.settle(EMPTY_TITLE, self.empty_titles, faulty)

    def _screen_images(self, screening: Screening, items: ItemTable, root: Path) -> ImageSource:
        if self.rendered_images is not None:
            return RenderedImages(ids=items.ids, side=self.rendered_images)
        pictures, looked_for = self._find_images(items, root)
        missing = [item for item in screening.histories.occurring().tolist() if pictures.names[item] is None]
        faulty = {item: f"item {items.ids[item]!r} at {looked_for(item)}" for item in missing}
        pictures = pictures.blank(screening.settle(MISSING_IMAGE, self.missing_images, faulty))
        corrupt = corrupt_images(pictures, screening.histories.occurring().tolist())
        named = {item: f"item {items.ids[item]!r} at {message}" for item, message in corrupt.items()}
        return pictures.blank(screening.settle(CORRUPT_IMAGE, self.corrupt_images, named))

    def _find_images(self, items: ItemTable, root: Path) -> tuple[StoredImages, Callable[[int], str]]:
        """Return the images by item, and how messages call the place where an item's image was looked for."""
        paths = items.image_paths
        if paths is None:
            pictures = open_images(root / str(self.images), items.ids, key="data.images")
            return pictures, lambda item: pictures.looked_for(items.ids[item])
        names = tuple(path if path and (root / path).is_file() else None for path in paths)
        return FolderImages(
            folder=root, names=names
        ), lambda item: f"{root / paths[item]}" if paths[item] else f"{items.place(item)}: no path"


def clean_title(title: str) -> str:
    """Resolve HTML entities (`&amp;`) and collapse white space; case is the tokenizer's matter."""
    return " ".join(unescape(title).split())
