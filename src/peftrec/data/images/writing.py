"""Writing of a stored zip or an LMDB of images, batch by batch; both make a file that is new."""

import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peftrec.data.images.lmdb import FORMAT, FORMAT_KEY, LONGEST_KEY, RESERVED_KEYS, lmdb_library
from peftrec.errors import DataError

if TYPE_CHECKING:
    import lmdb


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """What an image file holds, and the item it belongs to."""

    item_id: str
    content: bytes


Write = Callable[[Sequence[ImageFile]], None]
"""Takes batches in the order of their ids."""

MAGIC = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}
"""How files begin, and their suffix. Readers look at the content: a GIF may be called .jpg, as shops do."""


def suffix_of(content: bytes) -> str:
    """Return the suffix for an image file of this content."""
    return next((MAGIC[start] for start in MAGIC if content.startswith(start)), "jpg")


PAGE = 4096
"""Bytes to whose multiples LMDB rounds a value."""

FIRST_MAP = 2**26


@contextmanager
def open_zip(path: Path) -> Iterator[Write]:
    """Write members `<item>.<suffix>` without compression; the same images give the same bytes."""
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as archive:

        def write(files: Sequence[ImageFile]) -> None:
            for file in files:
                if file.item_id.startswith(".") or not file.item_id.isprintable() or set(file.item_id) & set("/\\"):
                    raise DataError(f"the item id {file.item_id!r} makes no file name, as a zip needs it: use an LMDB")
                archive.writestr(zipfile.ZipInfo(f"{file.item_id}.{suffix_of(file.content)}"), file.content)

        yield write


@contextmanager
def open_lmdb(path: Path) -> Iterator[Write]:
    """Write values by item id, a transaction a batch. Raises OSError where the disk is full."""
    library = lmdb_library()
    try:
        with library.open(str(path), subdir=False, lock=False, sync=False, map_size=FIRST_MAP) as environment:

            def write(files: Sequence[ImageFile]) -> None:
                make_room(environment, sum(len(file.content) + 2 * PAGE for file in files))
                with environment.begin(write=True) as transaction:
                    for file in files:
                        transaction.put(_key(file.item_id), file.content, append=True)

            yield write
            with environment.begin(write=True) as transaction:
                transaction.put(FORMAT_KEY, FORMAT)
            environment.sync(True)
    except library.Error as error:
        # LMDB calls a write that found no room an input or output error.
        free = shutil.disk_usage(path.parent).free
        raise OSError(None, f"{error}; {free:,} bytes are free on the disk") from error


def make_room(environment: "lmdb.Environment", needed: int) -> None:
    """Let the address space grow ahead of the data: the file itself is never larger than its pages."""
    info = environment.info()
    end = (info["last_pgno"] + 1) * PAGE + needed + FIRST_MAP // 4
    if end > info["map_size"]:
        environment.set_mapsize(2 * end)


def _key(item_id: str) -> bytes:
    key = item_id.encode(errors="surrogateescape")
    if not key or len(key) > LONGEST_KEY or key in RESERVED_KEYS or not item_id.isprintable():
        raise DataError(f"the item id {item_id[:40]!r} ({len(key)} bytes) can be no key of an LMDB: rename the image")
    return key


WRITERS: dict[str, Callable[[Path], AbstractContextManager[Write]]] = {".zip": open_zip, ".lmdb": open_lmdb}
"""By the suffix of the file to write."""
