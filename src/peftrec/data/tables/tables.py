"""Items and histories as files list them. Rows keep their line number, so that messages can cite it."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.interactions import Interactions, offsets_of
from peftrec.data.tables.likeness import look_alike
from peftrec.data.tables.mistakes import Mistakes
from peftrec.errors import SHOWN, DataError, shortlist

LARGEST_SEARCH = 200_000
"""Ids among which a near spelling is looked for; more would keep the message waiting for seconds."""

HEADER_HINT = "; none of the first line's items is known: if it is a header, remove it"


@dataclass(frozen=True, kw_only=True)
class ItemTable:
    """Items in file order: item i stands in line `lines[i]` of `file`."""

    file: Path
    ids: tuple[str, ...]
    titles: tuple[str, ...] | None
    """None where the data has no text."""
    lines: Sequence[int]
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further texts by their names."""
    image_paths: tuple[str, ...] | None = None
    """Where the table itself says where each image lies, below the data's root; empty for an item without."""

    def __post_init__(self) -> None:
        refuse_bad_ids("item", self.file, self.ids, self.lines)

    def place(self, item: int) -> str:
        """Return `file:line` of an item."""
        return f"{self.file}:{self.lines[item]}"


@dataclass(frozen=True, kw_only=True)
class HistoryTable:
    """Histories with the (first) line that each user came from and the length it had there."""

    file: Path
    interactions: Interactions
    lines: npt.NDArray[np.int64]
    lengths_in_file: npt.NDArray[np.int64]
    counts: dict[str, int] = field(default_factory=dict)
    """What the reader's own policies did, for the record."""
    mistakes: Mistakes = field(default_factory=Mistakes)
    """What the reader refuses; the histories are without it."""

    def __len__(self) -> int:
        return len(self.interactions)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Items that each user has now."""
        return self.interactions.lengths

    def occurring(self) -> npt.NDArray[np.int64]:
        """Return the items that occur, ascending."""
        return self.interactions.occurring()

    def without_items(self, items: Sequence[int]) -> "HistoryTable":
        """Return the table with `items` removed from all histories, some of which may then be short or empty."""
        is_kept = ~np.isin(self.interactions.items, np.asarray(items, dtype=self.interactions.items.dtype))
        return replace(self, interactions=self.interactions.where(is_kept))

    def of_users(self, is_kept: npt.NDArray[np.bool_]) -> "HistoryTable":
        """Return the table restricted to the users that are kept."""
        return replace(
            self,
            interactions=self.interactions.of_users(is_kept),
            lines=self.lines[is_kept],
            lengths_in_file=self.lengths_in_file[is_kept],
        )


def link_histories(
    items: ItemTable, file: Path, users: Sequence[str], histories: Sequence[str], lines: Sequence[int]
) -> HistoryTable:
    """Number the items of all histories, each a text of ids between white space; an id that no row names is a
    mistake."""
    refuse_bad_ids("user", file, users, lines)
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(pa.array(histories, type=pa.large_string())))
    flat = words.flatten()
    lengths = pc.list_value_length(words).to_numpy() - pc.equal(pc.list_element(words, 0), "").to_numpy(False)
    encoded = flat.filter(pc.not_equal(flat, "")).dictionary_encode()  # an empty text is split into one empty word
    names, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    numbers = item_numbers(items, names)[codes]
    interactions = Interactions(users=tuple(users), items=numbers, offsets=offsets_of(lengths))
    unknown, mistakes = np.flatnonzero(numbers < 0), Mistakes()
    if len(unknown):
        owners = interactions.owners()[unknown]
        is_header = lengths[0] > 0 and (owners == 0).sum() == lengths[0]
        first = [lines[owner] for owner in owners[:SHOWN].tolist()]
        found = Unlisted(names=[names[code] for code in codes[unknown].tolist()], lines=first)
        message = found.message(items, file) + (HEADER_HINT if is_header else "")
        if len(unknown) == len(numbers):
            raise DataError(message)
        mistakes.note(message, override=None)
        interactions = interactions.where(numbers >= 0)
    return HistoryTable(
        file=file,
        interactions=interactions,
        lines=np.asarray(lines, dtype=np.int64),
        lengths_in_file=lengths,
        mistakes=mistakes,
    )


def item_numbers(items: ItemTable, names: Sequence[str]) -> npt.NDArray[np.int32]:
    """Return the number of each named item, -1 where `items` has no such row."""
    known = pd.Index(np.asarray(items.ids, dtype=object))
    return known.get_indexer(pd.Index(np.asarray(names, dtype=object))).astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class Unlisted:
    """Entries of interactions whose item has no row."""

    names: Sequence[str]
    """The item of each."""
    lines: Sequence[int]
    """Where the first few of them stand."""

    def message(self, items: ItemTable, file: Path) -> str:
        """Say which they are, and which ids of `items` they may have been."""
        first = self.names[0]
        message = f"{file}:{self.lines[0]}: item {first!r} has no row in {items.file}"
        if alike := look_alike(list(dict.fromkeys(self.names)), items.ids):
            message += f"; {alike}"
        elif near := self._nearest(items):
            message += f"; the nearest id there is {near!r}"
        if len(self.names) > 1:
            named = zip(self.lines, self.names, strict=False)
            listed = shortlist((f"{name!r} in line {line}" for line, name in named), total=len(self.names))
            message += f"; in all {len(self.names)} such entries: {listed}"
        return message

    def _nearest(self, items: ItemTable) -> str | None:
        if len(items.ids) > LARGEST_SEARCH:
            return None
        return next(iter(difflib.get_close_matches(self.names[0], items.ids, n=1, cutoff=0.75)), None)


def refuse_bad_ids(kind: str, file: Path, ids: Sequence[str], lines: Sequence[int]) -> None:
    """Refuse empty ids, and ids that stand in two lines."""
    if len(set(ids)) == len(ids) and all(map(str.strip, ids)):
        return
    seen: dict[str, int] = {}
    repeated: list[tuple[int, str]] = []
    for line, name in zip(lines, ids, strict=True):
        if not name.strip():
            raise DataError(f"{file}:{line}: the {kind} id is empty")
        if seen.setdefault(name, line) != line:
            repeated.append((line, name))
    if repeated:
        line, name = repeated[0]
        others = f" (and {len(repeated) - 1} more repeated ids)" if len(repeated) > 1 else ""
        raise DataError(f"{file}:{line}: {kind} {name!r} stands already in line {seen[name]}{others}: remove one")
