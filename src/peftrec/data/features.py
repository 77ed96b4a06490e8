"""Ready features: vectors of items that someone computed before, in a `.npy` whose row r belongs to item row r."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from peftrec.data.batches import FeatureBatch
from peftrec.data.choices import MissingFeatures
from peftrec.data.damaged_arrays import DAMAGED_ARRAYS
from peftrec.data.stand_ins import refuse_stand_in
from peftrec.errors import DataError

Features = npt.NDArray[np.float16] | npt.NDArray[np.float32]

BLOCK_BYTES = 2**26
"""How much of a file is looked at, or hashed, at once."""


@dataclass(frozen=True, kw_only=True)
class FeatureFile:
    """A `.npy` of [items, dim], or [items, states, dim] lowest state first; memory-mapped in the process that reads."""

    path: Path
    tower: str
    """Whose place they take."""
    missing: MissingFeatures = "error"
    """What happens to items whose row is not finite (see peftrec.data.feature_screening)."""

    @property
    def key(self) -> str:
        """Where the configuration names the file."""
        return f"towers.{self.tower}"

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapping behind: a loader worker maps the file itself instead of getting a copy."""
        return {name: value for name, value in vars(self).items() if name != "states"}

    @cached_property
    def states(self) -> Features:
        """The array as [item, state, hidden]. Raises DataError where the file holds something else."""
        refuse_stand_in(self.path)
        try:
            array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, *DAMAGED_ARRAYS) as error:
            if _speaks_of_objects(error):
                raise DataError(
                    f"{self.path}: cannot be read as .npy (Python objects, or no .npy at all): save one array of "
                    f"numbers by np.save(FILE, np.stack(rows).astype(np.float32)), or correct {self.key}.file"
                ) from error
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{self.path}: cannot be read as .npy ({reason}): correct {self.key}.file") from error
        if not isinstance(array, np.ndarray):
            raise DataError(
                f"{self.path}: an archive of several arrays: save one as .npy and set {self.key}.file to it"
            )
        if array.dtype not in (np.float16, np.float32):
            raise DataError(f"{self.path}: holds {array.dtype}, not float16 or float32: convert it with astype")
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise DataError(f"{self.path}: has shape {array.shape}, not [items, dim] or [items, states, dim]")
        return array if array.ndim == 3 else array[:, None]  # noqa: PLR2004 - as the message says

    def blocks(self, rows: npt.NDArray[np.int64]) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """Yield the features of `rows`, a bounded number at once, and which of the rows they are."""
        size = max(1, BLOCK_BYTES // (self.states[0].nbytes))
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            yield part, np.asarray(self.states[rows[part]])


def _speaks_of_objects(error: Exception) -> bool:
    """Say whether numpy found pickled data, for which it takes whatever does not begin as a `.npy` does: its message
    advises to load that unsafely."""
    return isinstance(error, ValueError) and ("pickle" in str(error) or "Python objects" in str(error))


@dataclass(frozen=True, kw_only=True)
class FeatureRows:
    """Features by item; items without any share the row `replacement`."""

    file: FeatureFile
    rows: npt.NDArray[np.int64]
    """Row of each item; -1 for the replacement."""
    replacement: npt.NDArray[np.float32]
    """As [state, hidden]."""

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, items: npt.NDArray[np.integer]) -> "FeatureRows":
        """Return the features of `items`, in their order."""
        return replace(self, rows=self.rows[items])

    def batch(self, items: npt.NDArray[np.integer]) -> FeatureBatch:
        """Read the features of `items`, in the file's precision."""
        rows = self.rows[items]
        states = np.array(self.file.states[rows])  # a row of -1 reads the last one, and is overwritten
        states[rows < 0] = self.replacement
        return FeatureBatch(states=torch.from_numpy(states))

    def fingerprint(self) -> str:
        """Hash the features of all items, in their order."""
        present = self.rows[self.rows >= 0]
        states = self.file.states
        digest = sha256(repr((states.dtype.str, states.shape[1:], (self.rows < 0).tobytes())).encode())
        digest.update(np.ascontiguousarray(self.replacement).data)
        for _, block in self.file.blocks(present):
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()
