"""From the tables of a reader to a catalogue: what is checked, and what policies do about it."""

from collections.abc import Callable
from html import unescape
from pathlib import Path

from peftrec.data.catalogue import Catalogue
from peftrec.data.global_time import times_of
from peftrec.data.images.checking import corrupt_images
from peftrec.data.images.folder import FolderImages
from peftrec.data.images.opening import open_images
from peftrec.data.images.rendered import RenderedImages
from peftrec.data.images.stored import StoredImages
from peftrec.data.items import ImageSource, Items
from peftrec.data.readers.base import FileSource
from peftrec.data.tables.locations import require_folder
from peftrec.data.tables.policies import CORRUPT_IMAGE, EMPTY_TITLE, MISSING_IMAGE, Screening
from peftrec.data.tables.tables import ItemTable
from peftrec.errors import DataError


def read_catalogue(source: FileSource, *, text: bool, images: bool) -> Catalogue:
    """Read the tables of a source, then check cheap things before expensive ones: histories, titles, image names,
    pixels. Raises DataError that names the file, the line and the remedy."""
    root = require_folder(source.root, key="data.root")
    if images and not source.has_images:
        raise DataError(
            f"{root}: the image tower needs images and the data names none: set data.images=<folder, zip or LMDB "
            "below data.root>, or towers.image=null; to measure cost, data.rendered_images=224"
        )
    items, histories = source.read_tables(root)
    if text and items.titles is None:
        raise DataError(f"{items.file}: the text tower needs text and the data names no field: set towers.text=null")
    if source.split == "global_time":
        times_of(histories.interactions)
    screening = Screening(source=source, histories=histories, counts=dict(histories.counts))
    screening.settle_short_histories()
    titles = None if items.titles is None else tuple(clean_title(title) for title in items.titles)
    if text and titles is not None:
        _screen_titles(source, screening, items, titles)
    pictures = _screen_images(source, screening, items, root) if images else None
    return Catalogue(
        items=Items(ids=items.ids, titles=titles, images=pictures),
        interactions=screening.histories.interactions,
        counts=screening.counts,
    )


def _screen_titles(source: FileSource, screening: Screening, items: ItemTable, titles: tuple[str, ...]) -> None:
    empty = [item for item in screening.histories.occurring().tolist() if not titles[item]]
    faulty = {item: f"{items.place(item)} (item {items.ids[item]!r})" for item in empty}
    screening.settle(EMPTY_TITLE, source.empty_titles, faulty)


def _screen_images(source: FileSource, screening: Screening, items: ItemTable, root: Path) -> ImageSource:
    if source.rendered_images is not None:
        return RenderedImages(ids=items.ids, side=source.rendered_images)
    pictures, looked_for = _find_images(source, items, root)
    missing = [item for item in screening.histories.occurring().tolist() if pictures.names[item] is None]
    faulty = {item: f"item {items.ids[item]!r} at {looked_for(item)}" for item in missing}
    pictures = pictures.blank(screening.settle(MISSING_IMAGE, source.missing_images, faulty))
    corrupt = corrupt_images(pictures, screening.histories.occurring().tolist())
    named = {item: f"item {items.ids[item]!r} at {message}" for item, message in corrupt.items()}
    return pictures.blank(screening.settle(CORRUPT_IMAGE, source.corrupt_images, named))


def _find_images(source: FileSource, items: ItemTable, root: Path) -> tuple[StoredImages, Callable[[int], str]]:
    """Return the images by item, and how messages call the place where an item's image was looked for."""
    paths = items.image_paths
    if paths is None:
        pictures = open_images(root / str(source.images), items.ids, key="data.images")
        return pictures, lambda item: pictures.looked_for(items.ids[item])
    names = tuple(path if path and (root / path).is_file() else None for path in paths)
    return FolderImages(
        folder=root, names=names
    ), lambda item: f"{root / paths[item]}" if paths[item] else f"{items.place(item)}: no path"


def clean_title(title: str) -> str:
    """Resolve HTML entities (`&amp;`) and collapse white space; case is the tokenizer's matter."""
    return " ".join(unescape(title).split())
