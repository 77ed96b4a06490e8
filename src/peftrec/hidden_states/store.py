"""The hidden-state store: what frozen towers compute for every item, computed once.

A store is a folder named by the hash of all that decides its content: a plain array `[item, state, hidden]` a tower,
for towers differ in width and in the states kept, and `manifest.json`. Where it holds states of all tokens, the array
is `[token, state, hidden]`, and a second one says how many tokens each item has; where items share scales, another
holds them. It appears by a rename when it is
whole, so a killed build leaves nothing that opens.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float32, Int, Int64
from torch import Tensor

from peftrec.data.batches import StateBatch, TokenBatch
from peftrec.errors import StoreError
from peftrec.hidden_states.arrays import ArrayRows
from peftrec.hidden_states.disk import explaining_disk
from peftrec.hidden_states.key import StoreKey, lengths_of, scales_of
from peftrec.hidden_states.manifest import MANIFEST, Manifest, read_manifest, remedy
from peftrec.hidden_states.paths import array_path
from peftrec.hidden_states.placement import (
    Placement,
    PlacementChoice,
    RowsInFile,
    StateRows,
    choose_placement,
    place,
)
from peftrec.hidden_states.rows import RowsOnDisk
from peftrec.hidden_states.token_rows import TokensOnDisk, offsets_of
from peftrec.hidden_states.verification import find_problems
from peftrec.models.towers.names import TowerName, in_order
from peftrec.models.towers.stored_precision import restore

_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class HiddenStateStore:
    """States by item index, wherever they lie; gathered in one operation a tower."""

    files: Mapping[TowerName, RowsInFile]
    rows: Mapping[TowerName, StateRows]
    """The files, or what was read of them to another place."""
    manifest: Manifest
    scales: Mapping[TowerName, Float32[Tensor, "state hidden"]] = field(default_factory=dict)
    """Of `int8_channels`, what numbers are multiplied by, on `device`; else empty."""
    device: torch.device = _CPU
    """Where states are read to."""
    placement: Placement = "disk"

    def read(self, items: Int[Tensor, " item"]) -> dict[TowerName, Tensor | TokenBatch]:
        """Return the items' states on `device`: pooled ones as `Float32[item state hidden]`, those of tokens as they
        are stored.

        Indices on a device make the host wait for it, unless the states lie there too.
        """
        found = {name: rows.gather(items).to(self.device) for name, rows in self.rows.items()}
        return {
            name: restore(each, scales=self.scales.get(name)) if isinstance(each, Tensor) else each
            for name, each in found.items()
        }

    def batch(self, items: npt.NDArray[np.integer]) -> StateBatch:
        """Return the items' states as they are stored, on the host, for a loader that sends them with its batch."""
        chosen = torch.from_numpy(items.astype(np.int64))
        return {name: rows.gather(chosen) for name, rows in self.rows.items()}

    def placed(self, choice: PlacementChoice, device: torch.device, *, sharing: int = 1) -> "HiddenStateStore":
        """Return the store with its states where `choice` wants them, for a run on `device`.

        `sharing` processes of this machine do the same. Raises StoreError where a chosen memory is too small.
        """
        placement = choose_placement(choice, self.num_bytes, device, sharing=sharing)
        rows = {name: place(each, placement, device) for name, each in self.files.items()}
        scales = {name: each.to(device) for name, each in self.scales.items()}
        return replace(self, rows=rows, scales=scales, device=device, placement=placement)

    def __deepcopy__(self, memo: object) -> "HiddenStateStore":
        return self  # a copy of what reads a store reads the same one

    def token_counts(self) -> npt.NDArray[np.int64] | None:
        """Return how many tokens each item has in all towers together; None where states are pooled."""
        spans = [np.diff(each.offsets.numpy()) for each in self.files.values() if isinstance(each, TokensOnDisk)]
        return np.sum(spans, axis=0) if spans else None

    @property
    def is_read_by_loader(self) -> bool:
        """Whether a loader should gather ahead: states that lie elsewhere than where they are used."""
        return self.device.type != "cpu" and self.placement != "device"

    @property
    def num_bytes(self) -> int:
        """Size of the arrays."""
        return self.manifest.num_bytes


def open_store(folder: Path, key: StoreKey) -> HiddenStateStore:
    """Open a store and check that it is the one that `key` describes, and a sample of its bytes.

    Raises StoreError that names the file and the remedy.
    """
    with explaining_disk(folder):
        return _open(folder, key)


def _open(folder: Path, key: StoreKey) -> HiddenStateStore:
    manifest = read_manifest(folder)
    if manifest.key != key:
        stale = [name for name in StoreKey.model_fields if getattr(manifest.key, name) != getattr(key, name)]
        raise StoreError(
            f"{folder / MANIFEST}: the store is stale, its {', '.join(stale)} differ from this run's; {remedy(folder)}"
        )
    for problem in find_problems(folder, extent="sample"):
        raise StoreError(problem)
    note_use(folder)
    files = {name: _rows_in(folder, name, manifest) for name in in_order(key.towers)}
    scales = {name: _scales(folder, name) for name in files} if manifest.key.has_scales else {}
    return HiddenStateStore(files=files, rows=files, scales=scales, manifest=manifest)


def _scales(folder: Path, name: TowerName) -> Float32[Tensor, "state hidden"]:
    return torch.from_numpy(np.load(array_path(folder, scales_of(name)), allow_pickle=False)[0])


def _rows_in(folder: Path, name: TowerName, manifest: Manifest) -> RowsInFile:
    array = ArrayRows.for_reading(array_path(folder, name))
    if manifest.key.form == "pooled":
        return RowsOnDisk(array)
    return TokensOnDisk(array, _offsets(array_path(folder, lengths_of(name)), num_rows=array.header.shape[0]))


def _offsets(path: Path, *, num_rows: int) -> Int64[Tensor, " candidate_end"]:
    """Read where each item's tokens begin. Raises StoreError where they are not as many as the states."""
    lengths = torch.from_numpy(np.load(path, allow_pickle=False).reshape(-1).astype(np.int64))
    if bool((lengths < 1).any()) or int(lengths.sum()) != num_rows:
        raise StoreError(
            f"{path}: lengths of {int(lengths.sum()):,} tokens, and {num_rows:,} stored; {remedy(path.parent)}"
        )
    return torch.from_numpy(offsets_of(lengths.numpy()))


def note_use(folder: Path) -> None:
    """Set the folder's time of change, by which `prune` knows what is old."""
    with suppress(OSError):  # somebody else's store, or a disk that is only read: then its use is unknown
        os.utime(folder)
