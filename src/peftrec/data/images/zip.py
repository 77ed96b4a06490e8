"""Images in a zip, stored or deflated: `<anything>/<item>.jpg`, .jpeg, .png or .webp."""

import lzma
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from peftrec.data.images.decoding import CorruptImageError
from peftrec.data.images.stored import StoredImages, match_names, other_suffixes
from peftrec.errors import DataError

DAMAGE = (
    zipfile.BadZipFile,
    RuntimeError,  # an encrypted member; NotImplementedError, an unknown compression, is one too
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,  # undecodable names and negative offsets
    OverflowError,
    OSError,
)
"""What zipfile raises on a damaged archive or member."""


@dataclass(frozen=True)
class _Opened:
    """An open archive, the process that may use it, and the lock under which that process's threads read."""

    archive: zipfile.ZipFile
    process: int = field(default_factory=os.getpid)
    lock: threading.Lock = field(default_factory=threading.Lock)


class ZipHandle:
    """Opens a zip once per process: a forked worker that read through its parent's handle would share the position
    in the file with it, and a handle cannot be pickled to a spawned one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: _Opened | None = None

    def read(self, name: str) -> bytes:
        """Return one member's bytes; zipfile compares its checksum."""
        opened = self._here()
        try:
            with opened.lock:
                return opened.archive.read(name)
        except DAMAGE as error:
            raise CorruptImageError(f"{self.path}:{name}: the member cannot be read ({error})") from error

    def names(self) -> list[str]:
        """Return all members' names, in the order of the archive."""
        return self._here().archive.namelist()

    def checksum(self, name: str) -> int:
        """Return a member's CRC-32, from the directory."""
        return self._here().archive.getinfo(name).CRC

    def _here(self) -> _Opened:
        opened = self._opened
        if opened is None or opened.process != os.getpid():
            try:
                opened = _Opened(zipfile.ZipFile(self.path))
            except DAMAGE as error:
                raise DataError(f"{self.path}: the zip of images cannot be opened ({error})") from error
            self._opened = opened
        return opened

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "_opened": None}


@dataclass(frozen=True, kw_only=True)
class ZipImages(StoredImages):
    """One member per item, in whatever folder of the zip. The fingerprint hashes names and checksums."""

    handle: ZipHandle

    @classmethod
    def open(cls, path: Path, ids: Sequence[str]) -> Self:
        """Read the zip's directory and match its members to `ids`."""
        handle = ZipHandle(path)
        return cls(handle=handle, names=match_names(ids, handle.names(), str(path)))

    def read(self, name: str) -> bytes:
        """Return the member's bytes."""
        return self.handle.read(name)

    def stamp(self, name: str) -> int:
        """Return the member's checksum."""
        return self.handle.checksum(name)

    def place(self, name: str = "") -> str:
        """Return the path of the zip, and after a colon the member."""
        return f"{self.handle.path}:{name}" if name else str(self.handle.path)

    def looked_for(self, item_id: str) -> str:
        """Return the member that would hold the image."""
        return f"{self.handle.path}:<any folder>/{item_id}.jpg (or {other_suffixes()})"
