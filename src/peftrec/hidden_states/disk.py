"""A disk that is full or cannot be written: one error, that says how much is needed and which key moves the store."""

import math
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from peftrec.errors import StoreError
from peftrec.files import FULL, UNUSABLE

_REMEDY = (
    "free space, set hidden_states.directory=DIR to another disk, or make it smaller by hidden_states.dtype=float16, "
    "or int8"
)
_RESERVE = 2**20
"""Headers, manifest and progress."""


def check_space(directory: Path, arrays: Iterable[tuple[tuple[int, ...], str]]) -> None:
    """Raise StoreError where the disk of `directory` has no room for arrays of these shapes and dtypes."""
    needed = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in arrays) + _RESERVE
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise StoreError(f"{directory}: the store needs {needed:,} bytes and {free:,} are free; {_REMEDY}")


@contextmanager
def explaining_disk(place: Path) -> Iterator[None]:
    """Turn what the system says about a disk into a StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(_explanation(error, error.filename2 or error.filename or place)) from error


def _explanation(error: OSError, path: str | Path) -> str:
    if error.errno in FULL:
        return f"{path}: no room for the store ({error.strerror}); {_REMEDY}"
    if error.errno in UNUSABLE:
        return f"{path}: {error.strerror}; set hidden_states.directory=DIR to a folder that can be read and written"
    if isinstance(error, IsADirectoryError):
        return f"{path}: a folder in place of a file; remove it"
    if isinstance(error, FileNotFoundError):
        return f"{path}: gone while it was used, or a link to nowhere; give the same command again"
    return (
        f"{path}: {error.strerror or error}; give the same command again, which looks at the store anew, or set "
        "hidden_states.directory=DIR to a folder on another disk"
    )


def is_there(folder: Path) -> bool:
    """Say whether a store's folder exists, or one in which it grows. Raises StoreError where nobody may look, and for
    something else in its place."""
    with explaining_disk(folder):
        if folder.is_dir():
            return True
        if folder.is_symlink() or folder.exists():
            raise StoreError(
                f"{folder}: a {'link to nowhere' if folder.is_symlink() else 'file'}, and no store; remove it"
            )
        return False
