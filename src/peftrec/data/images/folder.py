"""Images in a folder, or in folders below it: `<item>.jpg`, or another suffix that is read."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from peftrec.data.images.naming import match_names, other_suffixes
from peftrec.data.images.stored import StoredImages
from peftrec.errors import DataError
from peftrec.files import names_below


@dataclass(frozen=True, kw_only=True)
class FolderImages(StoredImages):
    """One file per item, in `folder` or below. The fingerprint hashes names and sizes, so it survives a copy; an edit
    that keeps the size goes unseen."""

    folder: Path

    @classmethod
    def open(cls, folder: Path, ids: Sequence[str] | None) -> Self:
        """List `folder` once, and all below it but hidden folders, and match the files to `ids`."""
        try:
            matched = match_names(ids, names_below(folder), str(folder))
        except OSError as error:
            place = error.filename or folder
            raise DataError(f"{place}: the folder of images cannot be listed ({error.strerror})") from error
        return cls(folder=folder, names=matched.names, unread=matched.unread, others=matched.others)

    def read(self, name: str) -> bytes:
        """Return the file's bytes."""
        try:
            self.decoding.check_bytes((self.folder / name).stat().st_size, self.place(name))
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise DataError(f"{self.place(name)}: the image cannot be read ({error.strerror})") from error

    def stamp(self, name: str) -> int:
        """Return the file's size."""
        try:
            return (self.folder / name).stat().st_size
        except OSError as error:
            raise DataError(f"{self.place(name)}: the image cannot be read ({error.strerror})") from error

    def files(self) -> Iterator[Path]:
        """Yield the files of the items."""
        yield from (self.folder / name for name in self.names if name)

    def place(self, name: str = "") -> str:
        """Return the path of the folder, or of the file in it."""
        return str(self.folder / name)

    def looked_for(self, item_id: str) -> str:
        """Return the path that the image would have."""
        return f"{self.folder}{os.sep}{item_id}.jpg (or {other_suffixes()}, there or in folders below)"
