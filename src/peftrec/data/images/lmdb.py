"""Images in an LMDB that `peftrec images pack` wrote: keys are item ids, values the bytes of image files."""

import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Self
from weakref import WeakValueDictionary

from peftrec.data.images.decoding import CorruptImageError
from peftrec.data.images.handles import PerProcess
from peftrec.data.images.lmdb_pages import check_pages
from peftrec.data.images.stored import StoredImages
from peftrec.data.stand_ins import WRITE_AGAIN
from peftrec.errors import DataError, UserError

if TYPE_CHECKING:
    import lmdb

FORMAT_KEY, FORMAT = b"__peftrec_images__", b"1"
"""Entry of an own LMDB that says so, and how its values are laid out."""

PUBLISHED_KEYS = frozenset({b"__keys__", b"__len__"})
"""Entries besides images in an LMDB that IISAN's build_lmdb.py wrote."""

RESERVED_KEYS = PUBLISHED_KEYS | {FORMAT_KEY}
LONGEST_KEY = 511
"""Bytes that LMDB allows a key."""

FOLDER_FILE = "data.mdb"
"""The file with the data, where an LMDB is a folder."""


def lmdb_library() -> ModuleType:
    """Import the optional package."""
    try:
        import lmdb
    except ModuleNotFoundError as error:
        raise UserError('images in an LMDB need a package more: pip install "peftrec[lmdb]"') from error
    return lmdb


@dataclass(frozen=True, eq=False)
class OpenLmdb:
    """An LMDB that this process has open for reading."""

    path: Path
    environment: "lmdb.Environment"
    process: int = field(default_factory=os.getpid)

    @staticmethod
    def open(path: Path) -> "OpenLmdb":
        """Open `path`, or return what this process has open already: the library opens a file once per process.

        A forked process counts as one that has it open, so it closes what it inherited.
        """
        status = _status(path)
        identity = (status.st_dev, status.st_ino)
        with _OPENING:
            opened = _OPENED.get(identity)
            if opened is None or opened.process != os.getpid():
                if opened is None:
                    check_pages(data_file(path))
                else:  # by the process that this one was forked from
                    opened.environment.close()
                opened = _OPENED[identity] = OpenLmdb(path, _open_environment(path))
            return opened

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Raise DataError where the library cannot read on."""
        try:
            yield
        except lmdb_library().Error as error:
            raise DataError(f"{self.path}: the LMDB of images is damaged ({error}); copy it again") from error

    def is_published(self, path: Path) -> bool:
        """Say who wrote it: false for us, true for IISAN's script; anything else is refused."""
        with self.explaining(), self.environment.begin() as transaction:
            form = transaction.get(FORMAT_KEY)
            if form is None and transaction.get(b"__keys__") is not None:
                return True
        if form is None:
            raise DataError(
                f"{path}: an LMDB, but neither one that `peftrec images pack` wrote nor one of IISAN's build_lmdb.py"
            )
        if form != FORMAT:
            raise DataError(f"{path}: images in the format {form!r} of a newer peftrec, this one reads {FORMAT!r}")
        return False

    def keys(self, place: str) -> Iterator[str]:
        """Yield the ids of all images, sorted; values are not read."""
        with self.explaining(), self.environment.begin() as transaction:
            for key in transaction.cursor().iternext(keys=True, values=False):
                if key in RESERVED_KEYS:
                    continue
                try:
                    yield key.decode()
                except UnicodeDecodeError as error:
                    raise DataError(f"{place}: the key {key!r} is not UTF-8, so it is no item id") from error

    def holds(self, ids: Sequence[str]) -> Iterator[bool]:
        """Say of each id whether there is an image."""
        with self.explaining(), self.environment.begin() as transaction:
            cursor = transaction.cursor()
            for key in (item_id.encode() for item_id in ids):
                yield 0 < len(key) <= LONGEST_KEY and key not in RESERVED_KEYS and cursor.set_key(key)


_OPENED: WeakValueDictionary[tuple[int, int], OpenLmdb] = WeakValueDictionary()
_OPENING = threading.Lock()


def data_file(path: Path) -> Path:
    """Return the file with the data."""
    return path / FOLDER_FILE if path.is_dir() else path


def _status(path: Path) -> os.stat_result:
    try:
        return data_file(path).stat()
    except OSError as error:
        raise DataError(
            f"{path}: the LMDB of images cannot be opened ({error.strerror}); {WRITE_AGAIN}, or name another"
        ) from error


def _open_environment(path: Path) -> "lmdb.Environment":
    library = lmdb_library()
    try:
        environment = library.open(
            str(path), subdir=path.is_dir(), readonly=True, create=False, lock=False, readahead=False
        )
    except library.Error as error:
        raise DataError(
            f"{path}: the LMDB of images cannot be opened ({error}); {WRITE_AGAIN}, or name another"
        ) from error
    return environment


@dataclass(frozen=True, kw_only=True)
class LmdbImages(StoredImages):
    """One value per item. The fingerprint hashes keys and checksums of the values, which a run reads anyway."""

    handle: PerProcess[OpenLmdb]

    @classmethod
    def open(cls, path: Path, ids: Sequence[str] | None) -> Self:
        """Look up the keys `ids`."""
        handle = PerProcess(OpenLmdb.open, path)
        opened = handle.get()
        if ids is None:
            return cls(handle=handle, names=tuple(opened.keys(str(path))))
        found = zip(ids, opened.holds(ids), strict=True)
        return cls(handle=handle, names=tuple(item_id if is_there else None for item_id, is_there in found))

    def read(self, name: str) -> bytes:
        """Return the value."""
        opened = self.handle.get()
        with opened.explaining(), opened.environment.begin() as transaction:
            content: bytes | None = transaction.get(name.encode())  # no larger than the file, which nothing unpacks
        if content is None:
            raise CorruptImageError(f"{self.place(name)}: the key is gone")
        return content

    def stamp(self, name: str) -> int:
        """Return the value's checksum, without a copy: two to three gigabytes a second."""
        opened = self.handle.get()
        with opened.explaining(), opened.environment.begin(buffers=True) as transaction:
            return zlib.crc32(transaction.get(name.encode()) or b"")

    def item_id(self, name: str) -> str:
        """Return the key."""
        return name

    def files(self) -> Iterator[Path]:
        """Yield the file with the data."""
        yield data_file(self.handle.path)

    def place(self, name: str = "") -> str:
        """Return the path of the LMDB, and after a colon the key."""
        return f"{self.handle.path}:{name}" if name else str(self.handle.path)

    def looked_for(self, item_id: str) -> str:
        """Return the key that the image would have."""
        return f"{self.handle.path}:{item_id}"
