"""The folder into which pictures are fetched, and its books: what is there, with checksums, and what failed."""

import csv
import fcntl
import hashlib
import io
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from peftrec.data.images.decoding import CorruptImageError, decode_rgb
from peftrec.data.images.naming import SUFFIXES, stem_of
from peftrec.data.images.writing import suffix_of
from peftrec.errors import DataError
from peftrec.files import remove_abandoned, write_atomically

FETCHED, FAILURES, LOCK = "fetched.csv", "failures.csv", ".fetching.lock"
FETCHED_COLUMNS = ["item", "address", "file", "sha256", "bytes", "width", "height"]
FAILURES_COLUMNS = ["item", "address", "reason", "tries"]
LONGEST_NAME = 200
"""Bytes of an id that becomes a file's name; file systems take 255, some of them for suffix and the name beside."""
UNKNOWN = ""
"""Address of a picture that was found in the folder and stands in no line."""


class Failure(NamedTuple):
    """A picture that could not be had."""

    item: str
    address: str
    reason: str
    tries: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A picture in the folder."""

    address: str
    file: str
    sha256: str
    bytes: int
    width: int
    height: int


def file_name(item: str) -> str:
    """Return the name of an item's picture without suffix, empty where its id makes none."""
    is_name = item.isprintable() and not item.startswith(".") and not set(item) & set("/\\")
    return item if is_name and 0 < len(item.encode(errors="replace")) <= LONGEST_NAME else ""


@dataclass(kw_only=True)
class Ledger:
    """One folder; its methods may be called from several threads."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._damaged: dict[str, str] = {}
        """Item to the name of its file, where that is no whole picture."""

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, *, verify: bool = False) -> "Iterator[Ledger]":
        """Open a folder, made if it is not there, for this process alone; with `verify`, all checksums are compared.

        A picture whose size or checksum is another than its line says counts as missing. Raises DataError where
        another process fetches into the folder, or the books cannot be read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(
                    f"{folder}: another process fetches into this folder: wait until it has ended"
                ) from error
            remove_abandoned(folder)
            ledger = cls(folder=folder)
            ledger._load(verify=verify)
            yield ledger

    def holds(self, item: str, address: str) -> bool:
        """Say whether the picture of an item is there, from this address or from nobody knows where."""
        entry = self.entries.get(item)
        return entry is not None and entry.address in (address, UNKNOWN)

    def add(self, item: str, address: str, content: bytes, size: tuple[int, int]) -> None:
        """Write a picture, then its line; one of another suffix gives way."""
        entry = _entry(address, f"{file_name(item)}.{suffix_of(content)}", content, size)
        write_atomically(self.folder / entry.file, content)
        with self._lock:
            old = self.entries[item].file if item in self.entries else self._damaged.pop(item, entry.file)
            if old != entry.file:
                (self.folder / old).unlink(missing_ok=True)
            self.entries[item] = entry
            with (self.folder / FETCHED).open("a", encoding="utf-8", newline="") as stream:
                stream.write(_line(item, entry))

    def write_failures(self, failures: Sequence[Failure]) -> None:
        """Replace the list of failures; it is a table that can be fetched from."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([FAILURES_COLUMNS, *failures])
        write_atomically(self.folder / FAILURES, stream.getvalue().encode(errors="replace"))

    def _load(self, *, verify: bool) -> None:
        listed = self._listed()
        names = {entry.name for entry in os.scandir(self.folder) if entry.is_file()}
        for item, entry in listed.items():
            if entry.file in names and self._is_whole(entry, verify=verify):
                self.entries[item] = entry
            elif entry.file in names:
                self._damaged[item] = entry.file
        known = {entry.file for entry in listed.values()}
        for name in sorted(names - known):
            stem, suffix = stem_of(name)
            if suffix.lower() in SUFFIXES and stem and not stem.startswith(".") and stem not in self.entries:
                self._adopt(stem, name)
        lines = "".join(_line(item, entry) for item, entry in self.entries.items())
        header = ",".join(FETCHED_COLUMNS) + "\n"
        write_atomically(self.folder / FETCHED, (header + lines).encode())

    def _listed(self) -> dict[str, Entry]:
        """Read the lines, the last of an item counts; a last line without its end was being written."""
        path = self.folder / FETCHED
        if not path.exists():
            return {}
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        listed: dict[str, Entry] = {}
        try:
            rows = csv.reader(io.StringIO(whole.decode(), newline=""), strict=True)
            if (header := next(rows, FETCHED_COLUMNS)) != FETCHED_COLUMNS:
                raise ValueError(f"its columns are {', '.join(header)[:100]}")
            for item, address, file, sha256, size, width, height in rows:
                if file_name(item) != stem_of(file)[0] or "/" in file:
                    raise ValueError(f"{file!r} is no picture of item {item!r}")
                sizes = {"bytes": int(size), "width": int(width), "height": int(height)}
                listed[item] = Entry(address=address, file=file, sha256=sha256, **sizes)
        except (ValueError, csv.Error) as error:
            raise DataError(
                f"{path}: not what `peftrec images fetch` writes ({error}): remove it, and the pictures beside it are "
                "looked at anew"
            ) from error
        return listed

    def _is_whole(self, entry: Entry, *, verify: bool) -> bool:
        path = self.folder / entry.file
        if path.stat().st_size != entry.bytes:
            return False
        return not verify or hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256

    def _adopt(self, item: str, name: str) -> None:
        """Take a picture into the books that stands in no line, if it is whole."""
        content = (self.folder / name).read_bytes()
        try:
            size = decode_rgb(content, name).size
        except CorruptImageError:
            self._damaged[item] = name
            return
        self.entries[item] = _entry(UNKNOWN, name, content, size)


def _entry(address: str, file: str, content: bytes, size: tuple[int, int]) -> Entry:
    digest = hashlib.sha256(content).hexdigest()
    return Entry(address=address, file=file, sha256=digest, bytes=len(content), width=size[0], height=size[1])


def _line(item: str, entry: Entry) -> str:
    stream = io.StringIO()
    values = [item, entry.address, entry.file, entry.sha256, entry.bytes, entry.width, entry.height]
    csv.writer(stream, lineterminator="\n").writerow(values)
    return stream.getvalue()
