"""What decides the content of a store, spelled out; its hash is the store's name."""

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

from peftrec.models.towers.names import StateForm
from peftrec.models.towers.stored_precision import StoredPrecision, element_type

FORMAT_VERSION = 5

LENGTHS_DTYPE = "int32"
SCALES_DTYPE = "float32"

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
    """What the states are pooled by; none where those of all tokens are kept."""
    states: tuple[int, ...]
    """Hidden states kept, in the order of the array."""


class StoreKey(BaseModel):
    """What decides a store: equal keys mean equal states, up to the rounding of batch shape and device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION
    items: str
    """Hash of the item ids in their order."""
    num_items: int
    form: StateForm = "pooled"
    """Whether a state is one vector an item, or one for each of its tokens."""
    dtype: StoredPrecision
    """How precisely states are kept (see peftrec.models.towers.stored_precision)."""
    compute: Compute = "float32"
    """What the towers multiply in: strict float32, or bfloat16 under autocast."""
    code: str = ""
    """Hash of the code and the libraries that compute it (see peftrec.settings.run_identity)."""
    towers: dict[str, TowerKey]

    def arrays(self) -> dict[str, str]:
        """Return the arrays that the store holds, with their dtypes: states, scales that all items share, and how many
        tokens each item has."""
        lengths = {lengths_of(name): LENGTHS_DTYPE for name in self.towers} if self.form == "tokens" else {}
        scales = {scales_of(name): SCALES_DTYPE for name in self.towers} if self.has_scales else {}
        return dict.fromkeys(self.towers, element_type(self.dtype)) | scales | lengths

    @property
    def has_scales(self) -> bool:
        """Whether items share scales, which are known when all states are."""
        return self.dtype == "int8_channels"

    def without_code(self) -> "StoreKey":
        """Return the key of the same states, whatever code computes them."""
        return self.model_copy(update={"code": ""})

    def folder_name(self) -> str:
        """Return the store's name: the hash of the key."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def lengths_of(tower: str) -> str:
    """Return the name of the array that holds how many tokens a tower sees of each item."""
    return f"{tower}_lengths"


def scales_of(tower: str) -> str:
    """Return the name of the array that holds a tower's scales, `[1, state, hidden]`."""
    return f"{tower}_scales"
