"""Copying of all images of a folder, zip or LMDB into one new file, each decoded on the way to see that it is whole."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from peftrec.data.images.decoding import CorruptImageError
from peftrec.data.images.naming import by_suffix
from peftrec.data.images.stored import StoredImages
from peftrec.data.images.writing import WRITERS, ImageFile
from peftrec.errors import SHOWN, DataError, shortlist
from peftrec.files import remove_abandoned, written_beside

BATCH = 64
"""Images in memory at once, and in one transaction of an LMDB."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What becomes of an image on the way."""

    size: int | None = None
    """Pixels on the short side, as JPEG; smaller images are not enlarged. None copies files byte for byte."""

    quality: int = 90
    """Of JPEGs that are made."""

    def __call__(self, image: Image.Image, content: bytes | None) -> bytes:
        """Return the file to write; `content` is None where the source holds pixels and no files."""
        if self.size is not None and min(image.size) > self.size:
            share = self.size / min(image.size)
            width, height = (max(self.size, round(share * side)) for side in image.size)
            return encoded(image.resize((width, height), Image.Resampling.LANCZOS), "JPEG", self.quality)
        if content is not None:
            return content
        return encoded(image, "PNG" if self.size is None else "JPEG", self.quality)


def encoded(image: Image.Image, form: str, quality: int) -> bytes:
    """Return the bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, form, quality=quality)
    return stream.getvalue()


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What was written."""

    images: int
    bytes: int
    corrupt: tuple[str, ...]
    """What is wrong with each image that was left out."""


def pack_images(
    images: StoredImages,
    target: Path,
    conversion: Conversion,
    *,
    skip_corrupt: bool,
    advance: Callable[[int], object],
) -> Packed:
    """Write all images to `target` (.zip or .lmdb), which appears when it is whole and replaces what was there.

    `advance` is told how many images are done. Raises DataError for corrupt images, after all have been looked at, if
    they are not to be skipped, and where the target cannot be written.
    """
    if images.unread and not skip_corrupt:
        raise DataError(
            f"{images.place()}: {len(images.unread):,} of {len(images) + len(images.unread):,} pictures are of formats "
            f"that are not read ({by_suffix(images.unread)}): convert them to JPEG or PNG, or leave them out with "
            "corrupt=skip"
        )
    if not len(images):
        there = by_suffix(images.unread + images.others)
        raise DataError(
            f"{images.place()}: no images; expected are {images.looked_for('<item>')}"
            + (f"; what lies there: {there}" if there else "")
        )
    corrupt: list[str] = []
    count = size = 0
    try:
        remove_abandoned(target.parent, target.name)
        with written_beside(target) as beside, WRITERS[target.suffix](beside) as write:
            for files, faults in _batches(images, conversion):
                corrupt += faults
                write(files)
                count, size = count + len(files), size + sum(len(file.content) for file in files)
                advance(len(files) + len(faults))
            if corrupt and not (skip_corrupt and count):
                raise DataError(_refusal(images, corrupt))
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror or error}); nothing was left there") from error
    return Packed(images=count, bytes=size, corrupt=tuple(corrupt))


def _batches(images: StoredImages, conversion: Conversion) -> Iterator[tuple[list[ImageFile], list[str]]]:
    """Yield batches of files and what is wrong with the images that gave none; Pillow works outside the lock."""

    def convert(name: str) -> ImageFile | str:
        try:
            content = images.read(name)
            image = images.decode(content, name)
        except CorruptImageError as error:
            return str(error)
        return ImageFile(
            item_id=images.item_id(name), content=conversion(image, content if images.holds_files else None)
        )

    names = [name for name in images.names if name]
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(names), BATCH):
            done = list(pool.map(convert, names[start : start + BATCH]))
            files = [file for file in done if isinstance(file, ImageFile)]
            yield files, [fault for fault in done if isinstance(fault, str)]


def _refusal(images: StoredImages, corrupt: list[str]) -> str:
    found = f"{len(corrupt)} of {len(images)} images are corrupt: {shortlist(corrupt[:SHOWN], total=len(corrupt))}"
    if len(corrupt) == len(images):
        return f"{found}; no image is left to write"
    return f"{found}; mend them, or leave them out with corrupt=skip"
