"""What lies beside a store's arrays: key, origin and checksums, readable by people and refused when it was changed."""

import json
import zlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from peftrec.errors import StoreError
from peftrec.hidden_states.checksums import BLOCK_BYTES, block_checksums
from peftrec.hidden_states.key import FORMAT_VERSION, StoreKey

MANIFEST = "manifest.json"


class ArrayFile(BaseModel):
    """One array as it must be found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: tuple[int, int, int]
    """Items or tokens of all, states, width."""
    bytes: int
    """Size of the file, header included."""
    block_bytes: int
    crc32: tuple[int, ...]
    """Checksum of every `block_bytes` of the file."""

    @classmethod
    def of(cls, path: Path, shape: tuple[int, int, int], *, block_bytes: int = BLOCK_BYTES) -> "ArrayFile":
        """Describe a file that is finished."""
        checksums = block_checksums(path, block_bytes=block_bytes)
        return cls(shape=shape, bytes=path.stat().st_size, block_bytes=block_bytes, crc32=checksums)


class TowerOrigin(BaseModel):
    """Where a tower came from; information, for its weights' hash is in the key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str
    revision: str | None


class StoreCode(BaseModel):
    """The code that computed a store; information, for its hash is in the key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modules: dict[str, str] = Field(default_factory=dict)
    """Module to the hash of what it does."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Package to version, without the local part."""


class Manifest(BaseModel):
    """Everything about a store but its numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: StoreKey
    origins: dict[str, TowerOrigin]
    arrays: dict[str, ArrayFile]
    rounding: dict[str, tuple[float, ...]]
    """By tower and state, the error of what is kept, relative to the state: root mean square over root mean square."""
    build_seconds: float
    """Time of the slowest rank, over all resumed attempts, without loading towers."""
    batch_size: int
    device: str
    """Type of the device that computed it."""
    versions: dict[str, str]
    """Package to version: peftrec, torch, transformers."""
    code: StoreCode
    """What `key.code` is the hash of."""
    crc32: int = 0
    """Checksum of this text with 0 in this place."""

    @property
    def num_bytes(self) -> int:
        """Size of the arrays."""
        return sum(array.bytes for array in self.arrays.values())

    def to_bytes(self) -> bytes:
        """Return the one text that this manifest has on disk; any other is damage."""
        without = self.model_copy(update={"crc32": 0}).model_dump_json(indent=2)
        checksum = zlib.crc32(without.encode())
        return self.model_copy(update={"crc32": checksum}).model_dump_json(indent=2).encode()


def read_manifest(folder: Path) -> Manifest:
    """Read and check a manifest's form. Raises StoreError that names the file and the remedy."""
    file = folder / MANIFEST
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise StoreError(f"{file}: missing; {remedy(folder)}") from error
    except OSError as error:
        raise StoreError(f"{file}: cannot be read ({error.strerror}); {remedy(folder)}") from error
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        if is_of_another_format(content):
            raise StoreError(f"{file}: written by another version of peftrec; {remedy(folder)}") from error
        raise StoreError(f"{file}: malformed ({error.errors()[0]['msg']}); {remedy(folder)}") from error


def is_of_another_format(content: bytes) -> bool:
    """Say whether a manifest that this version cannot read tells another format's number."""
    try:
        return bool(json.loads(content)["key"]["format_version"] != FORMAT_VERSION)
    except (ValueError, LookupError, TypeError):
        return False


def remedy(folder: Path) -> str:
    """Return what to do about a store that cannot be used."""
    return f"delete {folder} and it is built again"
