"""Arrays `[row, state, hidden]` as plain .npy files: made at full size, written and read row by row.

A row is an item, or a token of one. Rows are written and read by position and not through a memory map: a full disk is
then an error and no signal, ranks of several machines can write to one file, and a cold row costs one request and no
page faults (on two cores and 400 rows of 21 KB: 12 ms, through a map 1,100 ms).
"""

import errno
import math
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_PIECE_BYTES = 2**24
_CUT_OFF = "hidden states are cut off: the file was changed while it was read"


@dataclass(frozen=True)
class ArrayHeader:
    """What the head of a .npy file says, and where its numbers begin."""

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one item."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole file."""
        return self.offset + self.shape[0] * self.row_bytes


def read_header(path: Path) -> ArrayHeader:
    """Read a header. Raises ValueError where the file is no .npy array in C order."""
    with path.open("rb") as stream:
        np.lib.format.read_magic(stream)
        shape, is_fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
        if is_fortran_order:
            raise ValueError("in Fortran order")
        return ArrayHeader(shape, dtype, stream.tell())


def is_of_shape(path: Path, shape: tuple[int, ...], dtype: str) -> bool:
    """Say whether a file is an array of this shape, and as long as that."""
    try:
        header = read_header(path)
    except (OSError, ValueError):
        return False
    return (header.shape, header.dtype, header.file_bytes) == (shape, np.dtype(dtype), path.stat().st_size)


def create_array(path: Path, shape: tuple[int, int, int], dtype: str) -> None:
    """Make an array of zeros and take its space on the disk. Raises OSError where there is none left."""
    with path.open("wb") as stream:
        description = np.lib.format.dtype_to_descr(np.dtype(dtype))
        np.lib.format.write_array_header_1_0(stream, {"descr": description, "fortran_order": False, "shape": shape})
    header = read_header(path)
    with path.open("r+b") as stream:
        _take_space(stream.fileno(), header.offset, header.file_bytes)
        os.fsync(stream.fileno())


def write_array(path: Path, values: npt.NDArray[Any], dtype: str) -> None:
    """Write an array whole. Raises OSError where there is no space left."""
    with path.open("wb") as stream:
        np.lib.format.write_array(stream, values.astype(dtype), version=(1, 0), allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())


def _take_space(handle: int, start: int, end: int) -> None:
    """Allocate a file's bytes; where the file system cannot, write them."""
    if start == end:
        return
    if hasattr(os, "posix_fallocate"):  # macOS has none
        try:
            os.posix_fallocate(handle, start, end - start)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
        else:
            return
    zeros = bytes(_PIECE_BYTES)
    while start < end:
        start += os.pwrite(handle, zeros[: end - start], start)


class ArrayRows:
    """An open array file whose rows are written or read by item index."""

    def __init__(self, path: Path, flags: int) -> None:
        self.path = path
        self.header = read_header(path)
        self.handle = os.open(path, flags)
        self.close = weakref.finalize(self, os.close, self.handle)
        """Gives the file back; so does the end of this object."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, os.O_RDONLY)  # a spawned loader worker opens the file itself

    @classmethod
    def for_writing(cls, path: Path) -> "ArrayRows":
        """Open an array that `create_array` made."""
        return cls(path, os.O_RDWR)

    @classmethod
    def for_reading(cls, path: Path) -> "ArrayRows":
        """Open an array."""
        return cls(path, os.O_RDONLY)

    def write(self, items: npt.NDArray[np.int64], rows: npt.NDArray[Any]) -> None:
        """Put rows in their places; neighbours in one request."""
        assert rows.dtype == self.header.dtype
        assert rows.shape[1:] == self.header.shape[1:]
        for run in np.split(np.arange(len(items)), np.flatnonzero(np.diff(items) != 1) + 1):
            content = rows[run[0] : run[-1] + 1].tobytes()
            position = self.header.offset + int(items[run[0]]) * self.header.row_bytes
            while content:
                written = os.pwrite(self.handle, content, position)
                content, position = content[written:], position + written

    def read_into(self, out: npt.NDArray[Any], items: npt.NDArray[np.int64]) -> None:
        """Read rows to `out`, which is `[state, item, hidden]`: each state of the batch in one piece.

        All rows are announced first, so that a disk works on many at once. Raises OSError where a row is cut off.
        """
        header = self.header
        positions = [header.offset + item * header.row_bytes for item in items.tolist()]
        if hasattr(os, "posix_fadvise"):  # macOS has none
            for position in positions:
                os.posix_fadvise(self.handle, position, header.row_bytes, os.POSIX_FADV_WILLNEED)
        for place, position in enumerate(positions):
            if os.preadv(self.handle, [state[place] for state in out], position) != header.row_bytes:
                raise OSError(errno.EIO, _CUT_OFF)

    def read_spans_into(
        self, out: npt.NDArray[Any], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> None:
        """Read runs of rows to `out`, `[row, state, hidden]`, in turn. Raises OSError where one is cut off."""
        row_bytes, content = self.header.row_bytes, out.reshape(-1).view(np.uint8).data
        spans = [
            (self.header.offset + start * row_bytes, length * row_bytes)
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
        ]
        if hasattr(os, "posix_fadvise"):  # macOS has none
            for position, size in spans:
                os.posix_fadvise(self.handle, position, size, os.POSIX_FADV_WILLNEED)
        for position, size in spans:
            if os.preadv(self.handle, [content[:size]], position) != size:
                raise OSError(errno.EIO, _CUT_OFF)
            content = content[size:]

    def read_all_into(self, out: npt.NDArray[Any]) -> None:
        """Read the whole array. Raises OSError where it is cut off."""
        content = out.reshape(-1).view(np.uint8).data
        position = self.header.offset
        while content:
            count = os.preadv(self.handle, [content[:_PIECE_BYTES]], position)
            if count == 0:
                raise OSError(errno.EIO, _CUT_OFF)
            content, position = content[count:], position + count

    def flush(self) -> None:
        """Return when everything written is on the disk."""
        os.fsync(self.handle)
