"""The hidden-state store: what frozen towers compute for every item, computed once.

A store is a folder named by the hash of all that decides its content: a plain array `[item, state, hidden]` a tower,
for towers differ in width and in the states kept, and `manifest.json`. It appears by a rename when it is whole, so a
killed build leaves nothing that opens.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from peftrec.data.batches import StateBatch
from peftrec.errors import StoreError
from peftrec.hidden_states.arrays import ArrayRows
from peftrec.hidden_states.disk import explaining_disk
from peftrec.hidden_states.key import StoreKey
from peftrec.hidden_states.manifest import MANIFEST, Manifest, read_manifest, remedy
from peftrec.hidden_states.paths import array_path
from peftrec.hidden_states.placement import Placement, PlacementChoice, choose_placement, place
from peftrec.hidden_states.rows import RowsOnDisk, StateRows
from peftrec.hidden_states.verification import find_problems
from peftrec.models.towers.names import MODALITIES, Modality
from peftrec.models.towers.stored_precision import restore

_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class HiddenStateStore:
    """States by item index, wherever they lie; gathered in one operation a tower."""

    arrays: Mapping[Modality, ArrayRows]
    rows: Mapping[Modality, StateRows]
    manifest: Manifest
    device: torch.device = _CPU
    """Where states are read to."""
    placement: Placement = "disk"

    def read(self, items: Int[Tensor, " item"]) -> dict[Modality, Float[Tensor, "item state hidden"]]:
        """Return the items' states in float32, on `device`.

        Indices on a device make the host wait for it, unless the states lie there too.
        """
        return {name: restore(rows.gather(items).to(self.device)) for name, rows in self.rows.items()}

    def batch(self, items: npt.NDArray[np.integer]) -> StateBatch:
        """Return the items' states as they are stored, on the host, for a loader that sends them with its batch."""
        chosen = torch.from_numpy(items.astype(np.int64))
        found = {name: rows.gather(chosen) for name, rows in self.rows.items()}
        return StateBatch(text=found.get("text"), image=found.get("image"))

    def placed(self, choice: PlacementChoice, device: torch.device, *, sharing: int = 1) -> "HiddenStateStore":
        """Return the store with its states where `choice` wants them, for a run on `device`.

        `sharing` processes of this machine do the same. Raises StoreError where a chosen memory is too small.
        """
        placement = choose_placement(choice, self.num_bytes, device, sharing=sharing)
        rows = {name: place(RowsOnDisk(array), placement, device) for name, array in self.arrays.items()}
        return replace(self, rows=rows, device=device, placement=placement)

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
    arrays = {name: ArrayRows.for_reading(array_path(folder, name)) for name in MODALITIES if name in manifest.arrays}
    rows = {name: RowsOnDisk(array) for name, array in arrays.items()}
    return HiddenStateStore(arrays=arrays, rows=rows, manifest=manifest)


def note_use(folder: Path) -> None:
    """Set the folder's time of change, by which `prune` knows what is old."""
    with suppress(OSError):  # somebody else's store, or a disk that is only read: then its use is unknown
        os.utime(folder)
