"""What a service keeps of its users between two daily batches: ids of medoids and their importance, in one file.

An interest is kept as the id of an item, whose embedding all users share (PinnerSage, section 5.1): a user costs tens
of bytes, and a table of embeddings can be replaced under the cache.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from peftrec.errors import DataError
from peftrec.files import write_stream_atomically
from peftrec.profiles.base import NO_ITEM, Interests

_SCHEMA = pa.schema(
    [
        pa.field("user", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("importance", pa.float64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
    ]
)
_DAY, _DECAY = b"peftrec.day", b"peftrec.decay"


@dataclass(frozen=True, kw_only=True)
class MedoidCache:
    """Interests of all users as one batch found them: user u's are rows offsets[u] to offsets[u + 1]."""

    day: float
    """When the batch ran; importance is as of then."""
    decay: float
    """With which importance fades, a day."""
    users: tuple[str, ...]
    offsets: Int[np.ndarray, " user_and_end"]
    items: tuple[str, ...]
    importance: Float[np.ndarray, " interest"]
    sizes: Int[np.ndarray, " interest"]

    @classmethod
    def of(
        cls, found: Iterable[tuple[str, Interests]], item_ids: Sequence[str], *, day: float, decay: float
    ) -> "MedoidCache":
        """Keep the interests of each user. Raises DataError where an interest has no item to be kept as."""
        pairs = list(found)
        rows = np.concatenate([np.zeros(0, dtype=np.int64), *(interests.items for _, interests in pairs)])
        if (rows == NO_ITEM).any():
            raise DataError(
                "only interests that an item represents can be kept by its id: set profile.representative=medoid"
            )
        return cls(
            day=day,
            decay=decay,
            users=tuple(user for user, _ in pairs),
            offsets=np.cumsum([0, *(len(interests) for _, interests in pairs)]),
            items=tuple(item_ids[row] for row in rows),
            importance=np.concatenate([np.zeros(0), *(interests.importance for _, interests in pairs)]),
            sizes=np.concatenate([np.zeros(0, dtype=np.int64), *(interests.sizes for _, interests in pairs)]),
        )

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each user."""
        return {user: row for row, user in enumerate(self.users)}

    def interests(
        self, user: str, catalogue: Float[np.ndarray, "item dim"], item_rows: Mapping[str, int]
    ) -> Interests | None:
        """Return a user's interests as of the batch, None for one whom it did not see.

        Raises DataError for a medoid that the catalogue no longer holds.
        """
        if user not in self.rows:
            return None
        part = slice(*self.offsets[self.rows[user] :][:2].tolist())
        unknown = [item for item in self.items[part] if item not in item_rows]
        if unknown:
            raise DataError(
                f"the catalogue holds no item {unknown[0]!r}, a medoid of user {user!r}: run the batch again"
            )
        items = np.array([item_rows[item] for item in self.items[part]], dtype=np.int64)
        return Interests(
            vectors=catalogue[items], importance=self.importance[part], items=items, sizes=self.sizes[part]
        )

    def write(self, path: Path) -> None:
        """Write one Parquet file, whole or not at all."""
        owners = np.repeat(np.arange(len(self.users)), np.diff(self.offsets))
        names = pa.array(self.users, type=pa.string())
        columns = [names.take(pa.array(owners)), pa.array(self.items, type=pa.string()), self.importance, self.sizes]
        metadata = {_DAY: repr(float(self.day)).encode(), _DECAY: repr(float(self.decay)).encode()}
        table = pa.table(columns, schema=_SCHEMA.with_metadata(metadata))
        write_stream_atomically(path, lambda stream: pq.write_table(table, stream))

    @classmethod
    def read(cls, path: Path) -> "MedoidCache":
        """Read a file that `write` wrote. Raises DataError where it is missing, or something else."""
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{path}: no cache of medoids can be read ({str(error).splitlines()[0]})") from error
        metadata = table.schema.metadata or {}
        if table.schema.remove_metadata() != _SCHEMA or not {_DAY, _DECAY} <= set(metadata):
            raise DataError(f"{path}: this is no cache of medoids; run the batch again")
        owners = table.column("user").to_pylist()
        starts = [row for row, user in enumerate(owners) if row == 0 or user != owners[row - 1]]
        return cls(
            day=float(metadata[_DAY]),
            decay=float(metadata[_DECAY]),
            users=tuple(owners[start] for start in starts),
            offsets=np.array([*starts, len(owners)]),
            items=tuple(table.column("item").to_pylist()),
            importance=table.column("importance").to_numpy(),
            sizes=table.column("size").to_numpy(),
        )
