"""A disk that is full or cannot be written: one error, that says how much is needed and which key moves the store."""

import math
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from peftrec.errors import StoreError
from peftrec.files import FULL, UNUSABLE

_REMEDY = "free space, set hidden_states.directory=DIR to another disk, or halve it by hidden_states.dtype=float16"
_RESERVE = 2**20
"""Headers, manifest and progress."""


def check_space(directory: Path, shapes: Iterable[tuple[int, ...]], dtype: str) -> None:
    """Raise StoreError where the disk of `directory` has no room for arrays of these shapes."""
    needed = sum(math.prod(shape) for shape in shapes) * np.dtype(dtype).itemsize + _RESERVE
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise StoreError(f"{directory}: the store needs {needed:,} bytes and {free:,} are free; {_REMEDY}")


@contextmanager
def explaining_disk(place: Path) -> Iterator[None]:
    """Turn what the system says about a disk into a StoreError; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreError(f"{place}: no room for the store ({error.strerror}); {_REMEDY}") from error
        if error.errno in UNUSABLE:
            raise StoreError(
                f"{error.filename or place}: {error.strerror}; set hidden_states.directory=DIR to a folder that can "
                "be read and written"
            ) from error
        raise


def is_there(folder: Path) -> bool:
    """Say whether a store's folder exists. Raises StoreError where nobody may look."""
    with explaining_disk(folder):
        return folder.exists()
