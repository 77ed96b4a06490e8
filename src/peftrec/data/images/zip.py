"""Images in a zip, stored or deflated: `<any folder>/<item>.jpg`, or another suffix that is read."""

import lzma
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from peftrec.data.images.decoding import CorruptImageError
from peftrec.data.images.handles import PerProcess
from peftrec.data.images.naming import match_names, other_suffixes
from peftrec.data.images.stored import StoredImages
from peftrec.data.stand_ins import WRITE_AGAIN
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
class OpenZip:
    """An open archive, and the lock under which threads read from it one after the other."""

    archive: zipfile.ZipFile
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the directory at the end of the zip."""
        try:
            return cls(zipfile.ZipFile(path))
        except DAMAGE as error:
            raise DataError(
                f"{path}: the zip of images cannot be opened ({error}); {WRITE_AGAIN}, or name another"
            ) from error


@dataclass(frozen=True, kw_only=True)
class ZipImages(StoredImages):
    """One member per item, in whatever folder of the zip. The fingerprint hashes names and checksums."""

    handle: PerProcess[OpenZip]

    @classmethod
    def open(cls, path: Path, ids: Sequence[str] | None) -> Self:
        """Read the zip's directory and match its members to `ids`."""
        handle = PerProcess(OpenZip.open, path)
        matched = match_names(ids, handle.get().archive.namelist(), str(path))
        return cls(handle=handle, names=matched.names, unread=matched.unread, others=matched.others)

    def read(self, name: str) -> bytes:
        """Return the member's bytes; zipfile compares its checksum."""
        opened = self.handle.get()
        try:
            with opened.lock:
                declared = opened.archive.getinfo(name).file_size
                self.decoding.check_bytes(declared, self.place(name))
                with opened.archive.open(name) as member:
                    # Not one byte more than declared is unpacked; `read` without a number unpacks what it gets first.
                    return member.read(declared + 1)
        except DAMAGE as error:
            raise CorruptImageError(f"{self.place(name)}: the member cannot be read ({error})") from error

    def stamp(self, name: str) -> int:
        """Return the member's checksum, from the directory."""
        return self.handle.get().archive.getinfo(name).CRC

    def files(self) -> Iterator[Path]:
        """Yield the zip."""
        yield self.handle.path

    def place(self, name: str = "") -> str:
        """Return the path of the zip, and after a colon the member."""
        return f"{self.handle.path}:{name}" if name else str(self.handle.path)

    def looked_for(self, item_id: str) -> str:
        """Return the member that would hold the image."""
        return f"{self.handle.path}:<any folder>/{item_id}.jpg (or {other_suffixes()})"
