"""What a data source gives."""

from dataclasses import dataclass, field

from peftrec.data.interactions import Interactions
from peftrec.data.items import Items


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What a source read, before any split: all items of its files and all interactions, indices into `items`."""

    items: Items
    interactions: Interactions
    counts: dict[str, int] = field(default_factory=dict)
    """What policies did, for the record: for example `{"items_dropped_missing_image": 3}`."""
