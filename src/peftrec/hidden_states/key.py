"""What decides the content of a store, spelled out; its hash is the store's name."""

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

from peftrec.models.towers.stored_precision import StoredPrecision

FORMAT_VERSION = 4

Compute = Literal["float32", "bfloat16"]


class TowerKey(BaseModel):
    """What decides one tower's states."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str
    """Hash of config and weights."""
    content: str
    """Hash of the items' titles or images."""
    preprocessing: str
    """Tokenisation with its longest text, or image transform, spelled out."""
    pooling: str
    states: tuple[int, ...]
    """Hidden states kept, in the order of the array."""


class StoreKey(BaseModel):
    """What decides a store: equal keys mean equal states, up to the rounding of batch shape and device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION
    items: str
    """Hash of the item ids in their order."""
    num_items: int
    dtype: StoredPrecision
    """How precisely states are kept (see peftrec.models.towers.stored_precision)."""
    compute: Compute = "float32"
    """What the towers multiply in: strict float32, or bfloat16 under autocast."""
    code: str = ""
    """Hash of the code and the libraries that compute it (see peftrec.settings.run_identity)."""
    towers: dict[str, TowerKey]

    def without_code(self) -> "StoreKey":
        """Return the key of the same states, whatever code computes them."""
        return self.model_copy(update={"code": ""})

    def folder_name(self) -> str:
        """Return the store's name: the hash of the key."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
