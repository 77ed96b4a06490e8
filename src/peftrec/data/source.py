"""The contract of a data source: the base class that every reader and the synthetic catalogue extend."""

from abc import ABC, abstractmethod
from dataclasses import dataclass as plain_dataclass
from dataclasses import field as plain_field
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.data.interactions import Interactions
from peftrec.data.items import Items
from peftrec.strict import STRICT


@plain_dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What a source read, before any split: all items of its files and all interactions, indices into `items`."""

    items: Items
    interactions: Interactions
    counts: dict[str, int] = plain_field(default_factory=dict)
    """What policies did, for the record: for example `{"items_dropped_missing_image": 3}`."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataSource(ABC):
    """Where data comes from and how it is cut; the defaults are the paper's (IISAN, section 4.1)."""

    sequence_length: int = Field(default=10, ge=1)
    """Items that the user encoder sees at most; a training window holds one more, the last target."""

    minimum_history: int = Field(default=5, ge=4)
    """Shortest history kept: a training transition takes two items, the validation and test targets one each."""

    short_histories: Literal["error", "drop"] = "error"
    """What happens to users with fewer than `minimum_history` items: an error that names the line, or dropped."""

    windows: Literal["last", "all"] = "last"
    """`last` keeps each user's last `sequence_length + 3` items (the paper); `all` keeps whole histories and cuts
    them into training windows that overlap by one item, so that every transition is a target once."""

    @abstractmethod
    def read(self, *, text: bool, images: bool) -> Catalogue:
        """Read and check the files; `text` and `images` say which modalities the towers need.

        Raises DataError that names the file, the line and the remedy.
        """
