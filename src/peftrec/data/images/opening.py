"""Which kind of image source a path is."""

from collections.abc import Sequence
from pathlib import Path

from peftrec.data.images.folder import FolderImages
from peftrec.data.images.stored import StoredImages
from peftrec.data.images.zip import ZipImages
from peftrec.data.locations import kind_of
from peftrec.errors import DataError


def open_images(path: Path, ids: Sequence[str], key: str) -> StoredImages:
    """Open the folder or zip at `path`, which the configuration names under `key`, for the items `ids`."""
    kind = kind_of(path, key=key)
    if kind == "folder":
        return FolderImages.open(path, ids)
    if kind == "file":
        return ZipImages.open(path, ids)
    raise DataError(f"{path}: no such folder or zip of images: correct {key}")
