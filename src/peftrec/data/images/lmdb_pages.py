"""Whether the pages of an LMDB lead nowhere outside of it. The library maps the file and follows what its pages say, so
that a damaged one would end the process by a signal, without a word.

The layout is that of format 1, which all releases of LMDB 0.9 write (struct MDB_page, MDB_node, MDB_db and MDB_meta of
its mdb.c). Pages of values are not looked at: what points to them says how long they are.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from peftrec.errors import DataError

MAGIC, FORMAT = 0xBEEFC0DE, 1
HEAD_BYTES, NODE_BYTES, NUMBER_BYTES = 16, 8, 8
PAGE_SIZES = frozenset(2**power for power in range(9, 17))
NO_PAGE = 2**64 - 1
FIRST_PAGE = 2
"""Pages 0 and 1 hold the two roots, the last and the last but one."""
DEEPEST = 32
BRANCH, LEAF = 0x01, 0x02
BIG, NESTED = 0x01, 0x02
"""Marks of an entry whose value has pages of its own, and of one that is a tree by itself; images are none."""

_START = struct.Struct("<II16x")
_TREE = struct.Struct("<IHHQQQQQ")
_END = struct.Struct("<QQ")
_ROOT_BYTES = HEAD_BYTES + _START.size + 2 * _TREE.size + _END.size

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Root:
    page_bytes: int
    flags: int
    depth: int
    num_entries: int
    page: int
    last_page: int
    written: int


def check_pages(path: Path) -> None:
    """Raise DataError where a page of the LMDB at `path` is damaged, the file was not copied whole, or its format is
    another one, which the library may read and this function cannot check.

    Another kind of file is none of this function's, which the library refuses.
    """
    try:
        with path.open("rb") as stream:
            root = _latest_root(path, stream)
            if root is not None:
                _Tree(path, stream, root).check()
    except OSError as error:
        raise DataError(f"{path}: the LMDB of images cannot be read ({error.strerror})") from error


def _latest_root(path: Path, stream: BinaryIO) -> _Root | None:
    first = _read_root(path, stream, 0)
    if first is None:
        return None
    second = _read_root(path, stream, first.page_bytes)
    if second is None:
        raise _damaged(path, "its root")
    return second if first.written < second.written else first


def _read_root(path: Path, stream: BinaryIO, place: int) -> _Root | None:
    stream.seek(place)
    content = stream.read(_ROOT_BYTES)
    magic, written_format = _START.unpack_from(content, HEAD_BYTES) if len(content) == _ROOT_BYTES else (None, None)
    if magic != MAGIC:
        return None
    if written_format != FORMAT:
        raise DataError(
            f"{path}: an LMDB of format {written_format}; of format {FORMAT} alone, which LMDB 0.9 writes, it can be "
            f"checked that reading it is safe: pack the images anew, peftrec images pack SOURCE {path} overwrite=true"
        )
    trees = HEAD_BYTES + _START.size
    page_bytes = _TREE.unpack_from(content, trees)[0]  # noted in the tree of free pages
    _, flags, depth, *_, num_entries, page = _TREE.unpack_from(content, trees + _TREE.size)
    last_page, written = _END.unpack_from(content, trees + 2 * _TREE.size)
    return _Root(page_bytes, flags, depth, num_entries, page, last_page, written)


class _Tree:
    """The tree of images, whose upper pages list pages below them and whose lowest list images."""

    def __init__(self, path: Path, stream: BinaryIO, root: _Root) -> None:
        self.path = path
        self.stream = stream
        self.root = root
        self.size = os.fstat(stream.fileno()).st_size

    def check(self) -> None:
        root = self.root
        if root.page_bytes not in PAGE_SIZES or root.depth > DEEPEST or root.flags:
            raise _damaged(self.path, "its root")
        needed = (root.last_page + 1) * root.page_bytes
        if self.size < needed:
            raise DataError(
                f"{self.path}: {self.size} bytes of at least {needed}: the LMDB was not copied whole; copy it again"
            )
        level = [] if root.page == NO_PAGE else [root.page]
        for _ in range(1, root.depth):
            level = [below for number in level for below in self._below(number)]
            if len(set(level)) != len(level):
                raise _damaged(self.path, "a page that is listed twice")
        if (bool(level) != bool(root.depth)) or sum(map(self._check_leaf, level)) != root.num_entries:
            raise _damaged(self.path, "the count of its entries")

    def _below(self, number: int) -> list[int]:
        """Return the pages that a page lists."""
        page, places = self._page(number, BRANCH)
        low, high, higher, key_bytes = _words(page, places)
        if (places + NODE_BYTES + key_bytes > len(page)).any():
            raise _damaged(self.path, f"page {number}")
        return [int(below) for below in low | high << 16 | higher << 32]

    def _check_leaf(self, number: int) -> int:
        """Return how many images a page lists, whose values end within the page or the file."""
        page, places = self._page(number, LEAF)
        low, high, flags, key_bytes = _words(page, places)
        value_bytes, starts, is_big = low | high << 16, places + NODE_BYTES + key_bytes, flags == BIG
        ends = starts + np.where(is_big, NUMBER_BYTES, value_bytes)
        if (flags > NESTED).any() or (ends > len(page)).any():
            raise _damaged(self.path, f"page {number}")
        numbers = _numbers(page, starts[is_big])
        is_outside = (numbers < FIRST_PAGE) | (numbers > self.root.last_page)
        inside = np.where(is_outside, 0, numbers).astype(np.int64)
        if (is_outside | (inside * len(page) + HEAD_BYTES + value_bytes[is_big] > self.size)).any():
            raise _damaged(self.path, f"page {number}")
        return len(places)

    def _page(self, number: int, kind: int) -> tuple[bytes, Numbers]:
        """Read a page of a kind, and where its entries begin."""
        if not FIRST_PAGE <= number <= self.root.last_page:
            raise _damaged(self.path, f"what points to page {number}")
        self.stream.seek(number * self.root.page_bytes)
        page = self.stream.read(self.root.page_bytes)
        own, _, flags, lower, upper = struct.unpack_from("<QHHHH", page)
        is_sound = own == number and flags == kind and HEAD_BYTES < lower <= upper < len(page) and lower % 2 == 0
        places = np.frombuffer(page, "<u2", count=(lower - HEAD_BYTES) // 2 if is_sound else 0, offset=HEAD_BYTES)
        if not is_sound or (places % 2).any() or (places < upper).any() or (places > len(page) - NODE_BYTES).any():
            raise _damaged(self.path, f"page {number}")
        return page, places.astype(np.int64)


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path}: the LMDB of images is damaged: {what}; copy it again, or pack it again")


def _words(page: bytes, places: Numbers) -> tuple[Numbers, ...]:
    """Return the four numbers of two bytes with which each entry begins."""
    words = np.frombuffer(page, "<u2").astype(np.int64)
    return tuple(words[places // 2 + word] for word in range(4))


def _numbers(page: bytes, places: Numbers) -> npt.NDArray[np.uint64]:
    """Return the numbers of eight bytes at places that need not be even."""
    parts = np.frombuffer(page, np.uint8)[places[:, None] + np.arange(NUMBER_BYTES)]
    return np.ascontiguousarray(parts).view("<u8").reshape(-1)
