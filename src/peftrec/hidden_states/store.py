"""The hidden-state store: what frozen towers compute for every item, computed once.

A store is a folder named by the hash of all that decides its content: one plain array `[item, state, hidden]` a
tower, and `manifest.json`. It appears by a rename when it is whole, so a killed build leaves nothing that opens.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from peftrec.errors import StoreError
from peftrec.models.towers import Modality

MANIFEST = "manifest.json"
FORMAT_VERSION = 1


class TowerKey(BaseModel):
    """What decides one tower's states."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str
    """Hash of config and weights."""
    content: str
    """Hash of the items' titles or images."""
    preprocessing: str
    """Tokenisation or image transform, spelled out."""
    pooling: str
    states: tuple[int, ...]
    """Hidden states kept, in the order of the array."""


class StoreKey(BaseModel):
    """What decides a store; two equal keys mean equal bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION
    items: str
    """Hash of the item ids in their order."""
    dtype: Literal["float32", "float16"]
    towers: dict[str, TowerKey]

    def folder_name(self) -> str:
        """Return the store's name: the hash of the key."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class ArrayFile(BaseModel):
    """One array as it must be found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: tuple[int, int, int]
    bytes: int
    crc32: int


class Manifest(BaseModel):
    """Key, arrays, and what building cost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: StoreKey
    arrays: dict[str, ArrayFile]
    build_seconds: float


@dataclass(frozen=True, kw_only=True)
class HiddenStateStore:
    """States by item index; gathered in one operation a tower."""

    states: Mapping[Modality, Float[Tensor, "candidate state hidden"]]
    manifest: Manifest

    def read(self, items: Int[Tensor, " item"]) -> dict[Modality, Float[Tensor, "item state hidden"]]:
        """Return the items' states in float32."""
        return {name: gather(tensor, items).float() for name, tensor in self.states.items()}

    def to(self, device: torch.device) -> "HiddenStateStore":
        """Move the states to a device; the CPU keeps them memory-mapped."""
        if device.type == "cpu":
            return self
        moved = {name: tensor.to(device) for name, tensor in self.states.items()}
        return HiddenStateStore(states=moved, manifest=self.manifest)

    @property
    def num_bytes(self) -> int:
        """Size of the arrays."""
        return sum(array.bytes for array in self.manifest.arrays.values())


def gather(
    states: Float[Tensor, "candidate state hidden"], items: Int[Tensor, " item"]
) -> Float[Tensor, "item state hidden"]:
    """Gather items so that each state lies in one piece: the side network reads one state at a time."""
    num_states, hidden = states.shape[1:]
    out = states.new_empty(num_states, len(items), hidden)
    for state in range(num_states):
        torch.index_select(states[:, state], 0, items, out=out[state])
    return out.transpose(0, 1)


def array_path(folder: Path, modality: str) -> Path:
    """Return where a tower's array lies."""
    return folder / f"{modality}.npy"


def file_checksum(path: Path) -> int:
    """Return the CRC-32 of a file."""
    checksum = 0
    with path.open("rb") as stream:
        while block := stream.read(2**22):
            checksum = zlib.crc32(block, checksum)
    return checksum


def open_store(folder: Path, key: StoreKey) -> HiddenStateStore:
    """Open a store and check that it is whole and the one that `key` describes.

    Raises StoreError that names the file and the remedy.
    """
    manifest = _read_manifest(folder)
    if manifest.key != key:
        stale = [name for name in StoreKey.model_fields if getattr(manifest.key, name) != getattr(key, name)]
        raise StoreError(
            f"{folder / MANIFEST}: the store is stale, its {', '.join(stale)} differ from this run's; "
            f"delete {folder} and it is built again"
        )
    if set(manifest.arrays) != set(key.towers):
        raise StoreError(f"{folder / MANIFEST}: lists arrays {sorted(manifest.arrays)}, not {sorted(key.towers)}")
    states: dict[Modality, Tensor] = {}
    for name in ("image", "text"):
        if name in manifest.arrays:
            states[name] = _open_array(array_path(folder, name), manifest.arrays[name], key.dtype)
    return HiddenStateStore(states=states, manifest=manifest)


def _read_manifest(folder: Path) -> Manifest:
    file = folder / MANIFEST
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise StoreError(f"{file}: missing; delete {folder} and it is built again") from error
    except ValidationError as error:
        raise StoreError(
            f"{file}: malformed ({error.errors()[0]['msg']}); delete {folder} and it is built again"
        ) from error


def _open_array(path: Path, expected: ArrayFile, dtype: str) -> Tensor:
    if not path.is_file():
        raise StoreError(f"{path}: missing; delete {path.parent} and it is built again")
    found = path.stat().st_size
    if found != expected.bytes:
        raise StoreError(
            f"{path}: truncated, {found:,} of {expected.bytes:,} bytes; delete {path.parent} and it is built again"
        )
    if file_checksum(path) != expected.crc32:
        raise StoreError(f"{path}: checksum differs, the file is damaged; delete {path.parent} and it is built again")
    array = np.load(path, mmap_mode="c")  # copy-on-write: torch wants a writable array, the file stays as it is
    if array.shape != expected.shape or array.dtype != np.dtype(dtype):
        raise StoreError(f"{path}: holds {array.dtype}{array.shape}, not {dtype}{expected.shape}; delete {path.parent}")
    return torch.from_numpy(array)
