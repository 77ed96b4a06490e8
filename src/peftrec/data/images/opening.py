"""Which kind of image source a path is."""

from collections.abc import Sequence
from pathlib import Path

from peftrec.data.images.folder import FolderImages
from peftrec.data.images.lmdb import FOLDER_FILE, LmdbImages, OpenLmdb
from peftrec.data.images.published import PublishedImages
from peftrec.data.images.stored import StoredImages
from peftrec.data.images.zip import ZipImages
from peftrec.data.stand_ins import refuse_stand_in
from peftrec.data.tables.locations import kind_of
from peftrec.errors import DataError

LMDB_SUFFIXES = (".lmdb", ".mdb")


def open_images(path: Path, ids: Sequence[str] | None, key: str) -> StoredImages:
    """Open the folder, zip or LMDB at `path`, which the configuration names under `key`, for the items `ids`.

    Without ids, all its images are opened, in the order of their ids.
    """
    kind = kind_of(path, key=key)
    if kind == "nothing":
        raise DataError(f"{path}: no such folder, zip or LMDB of images: correct {key}")
    if kind == "file":
        refuse_stand_in(path)
    is_lmdb = path.suffix.lower() in LMDB_SUFFIXES if kind == "file" else kind_of(path / FOLDER_FILE, key=key) == "file"
    if is_lmdb:
        is_published = OpenLmdb.open(path).is_published(path)
        return (PublishedImages if is_published else LmdbImages).open(path, ids)
    return FolderImages.open(path, ids) if kind == "folder" else ZipImages.open(path, ids)
