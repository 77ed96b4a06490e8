"""What a build has finished, so that a killed one resumes: a plan, and a file of finished chunks for each rank.

Chunk k is the same items in every attempt, on any number of ranks, so the bytes do not tell how often a build was
killed. A rank rewrites its file, which is whole or the former one, after the chunks it names are on the disk.
"""

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from peftrec.files import write_atomically
from peftrec.hidden_states.key import StoreKey
from peftrec.hidden_states.manifest import TowerOrigin
from peftrec.hidden_states.paths import exact_paths
from peftrec.hidden_states.rounding import Sums, added

PLAN = "plan.json"
_FINISHED = "finished-{rank}.json"

_Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class BuildPlan(BaseModel):
    """What must be equal for a build to go on where another was killed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: StoreKey
    origins: dict[str, TowerOrigin]
    batch_size: int
    order_crc32: int
    """Checksum of the order of items; it hangs on the lengths of titles."""

    @property
    def num_chunks(self) -> int:
        """Batches of items."""
        return -(-self.key.num_items // self.batch_size)


class FinishedChunks(BaseModel):
    """Chunks that a rank has computed and flushed, and how long it worked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chunks: tuple[NonNegativeInt, ...]
    seconds: _Size
    rounding: dict[str, tuple[tuple[_Size, _Size], ...]]
    """See peftrec.hidden_states.rounding."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What all ranks have computed and flushed."""

    chunks: set[int]
    seconds: float
    """Of the rank that worked longest."""
    rounding: Sums


def order_checksum(order: npt.NDArray[np.int64]) -> int:
    """Return the checksum that a plan holds."""
    return zlib.crc32(order.tobytes())


def read_plan(folder: Path) -> BuildPlan | None:
    """Return the plan of a build, or None where there is none that this version wrote, and that can be read."""
    try:
        return BuildPlan.model_validate_json((folder / PLAN).read_bytes())
    except (OSError, ValidationError):
        return None


def write_plan(folder: Path, plan: BuildPlan) -> None:
    """Write the plan; the arrays must be there already."""
    write_atomically(folder / PLAN, plan.model_dump_json().encode())


def read_finished(folder: Path) -> Finished:
    """Return what all ranks have finished."""
    parts = list(_parts(folder))
    rounding: Sums = {}
    for part in parts:
        rounding = added(rounding, _sums(part))
    return Finished(
        chunks={chunk for part in parts for chunk in part.chunks},
        seconds=max((part.seconds for part in parts), default=0.0),
        rounding=rounding,
    )


def is_progress_of(folder: Path, plan: BuildPlan) -> bool:
    """Say whether what the ranks have noted can be of this plan."""
    num_states = {name: len(tower.states) for name, tower in plan.key.towers.items()}
    return all(
        max(part.chunks, default=0) < plan.num_chunks
        and {name: len(sums) for name, sums in part.rounding.items()} == (num_states if part.chunks else {})
        for part in _parts(folder)
    )


def forget(folder: Path) -> None:
    """Remove plan, progress and states that were rounded since; the manifest must be there already."""
    progress = folder.glob(_FINISHED.format(rank="*"))
    for path in (*progress, *exact_paths(folder), *folder.glob(".*.partial"), folder / PLAN):
        path.unlink(missing_ok=True)


class Progress:
    """One rank's progress; it goes on where an earlier attempt of the same rank ended."""

    def __init__(self, folder: Path, rank: int) -> None:
        self._path = folder / _FINISHED.format(rank=rank)
        earlier = _read_part(self._path)
        self._chunks = list(earlier.chunks)
        self._rounding = _sums(earlier)
        self._started = time.perf_counter() - earlier.seconds

    def save(self, chunks: list[int], rounding: Sums) -> None:
        """Add chunks, which must be on the disk, and what was measured of them."""
        self._chunks += chunks
        self._rounding = added(self._rounding, rounding)
        part = FinishedChunks(
            chunks=tuple(self._chunks),
            seconds=time.perf_counter() - self._started,
            rounding={name: tuple(map(tuple, sums.tolist())) for name, sums in self._rounding.items()},
        )
        write_atomically(self._path, part.model_dump_json().encode())


def _parts(folder: Path) -> Iterator[FinishedChunks]:
    for path in folder.glob(_FINISHED.format(rank="*")):
        yield _read_part(path)


def _read_part(path: Path) -> FinishedChunks:
    """Return what a rank has finished: nothing where its file is missing or none that this version wrote."""
    try:
        return FinishedChunks.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return FinishedChunks(chunks=(), seconds=0.0, rounding={})


def _sums(part: FinishedChunks) -> Sums:
    return {name: np.array(sums) for name, sums in part.rounding.items()}
