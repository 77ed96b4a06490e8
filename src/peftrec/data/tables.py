"""Items and histories as a file lists them: ids still have lines, so that policies can name them."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peftrec.data.interactions import Interactions
from peftrec.data.listing import shortlist
from peftrec.errors import DataError

LARGEST_SEARCH = 200_000
"""Ids among which a near spelling is looked for; more would keep the message waiting for seconds."""

HEADER_HINT = "; none of the first line's items is known: if it is a header, remove it"


@dataclass(frozen=True, kw_only=True)
class ItemTable:
    """Items in file order: item i stands in line `lines[i]` of `file`."""

    file: Path
    ids: tuple[str, ...]
    titles: tuple[str, ...]
    lines: Sequence[int]

    def __post_init__(self) -> None:
        refuse_bad_ids("item", self.file, self.ids, self.lines)
        for item_id, line in zip(self.ids, self.lines, strict=True):
            if len(item_id.split()) != 1 or item_id.split()[0] != item_id:
                raise DataError(
                    f"{self.file}:{line}: the item id {item_id!r} holds white space, which separates ids in histories"
                )

    def place(self, item: int) -> str:
        """Return `file:line` of an item."""
        return f"{self.file}:{self.lines[item]}"


@dataclass(frozen=True, kw_only=True)
class HistoryTable:
    """Histories with the line that each user came from and the length it had there."""

    file: Path
    interactions: Interactions
    lines: npt.NDArray[np.int64]
    lengths_in_file: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.interactions)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Items that each user has now."""
        return np.diff(self.interactions.offsets)

    def occurring(self) -> npt.NDArray[np.int32]:
        """Return the items that occur, ascending."""
        return np.unique(self.interactions.items)

    def without_items(self, items: Sequence[int]) -> "HistoryTable":
        """Return the table with `items` removed from all histories, some of which may then be short or empty."""
        flat, offsets = self.interactions.items, self.interactions.offsets
        is_kept = ~np.isin(flat, np.asarray(items, dtype=flat.dtype))
        kept_before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(is_kept, dtype=np.int64)])
        shorter = replace(self.interactions, items=flat[is_kept], offsets=kept_before[offsets])
        return replace(self, interactions=shorter)

    def with_users(self, users: npt.NDArray[np.int64]) -> "HistoryTable":
        """Return the table restricted to the user indices `users`, ascending."""
        if len(users) == len(self):
            return self
        is_kept = np.zeros(len(self), dtype=np.bool_)
        is_kept[users] = True
        interactions = Interactions(
            users=tuple(self.interactions.users[user] for user in users),
            items=self.interactions.items[np.repeat(is_kept, self.lengths)],
            offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(self.lengths[users])]),
        )
        return replace(
            self,
            interactions=interactions,
            lines=self.lines[users],
            lengths_in_file=self.lengths_in_file[users],
        )


def link_histories(
    items: ItemTable, file: Path, users: Sequence[str], histories: Sequence[Sequence[str]], lines: Sequence[int]
) -> HistoryTable:
    """Number the items of all histories as `items` does; an id that no row names is refused."""
    refuse_bad_ids("user", file, users, lines)
    number = {item_id: item for item, item_id in enumerate(items.ids)}
    numbered = [[number.get(item_id, -1) for item_id in history] for history in histories]
    interactions = Interactions.from_lists(users, numbered)
    if (interactions.items < 0).any():
        unknown = [
            (line, item_id)
            for line, history in zip(lines, histories, strict=True)
            for item_id in history
            if item_id not in number
        ]
        is_header = sum(line == lines[0] for line, _ in unknown) == len(histories[0])
        raise DataError(_unknown_ids(items, file, unknown) + (HEADER_HINT if is_header and histories[0] else ""))
    return HistoryTable(
        file=file,
        interactions=interactions,
        lines=np.asarray(lines, dtype=np.int64),
        lengths_in_file=np.diff(interactions.offsets),
    )


def refuse_bad_ids(kind: str, file: Path, ids: Sequence[str], lines: Sequence[int]) -> None:
    """Refuse empty ids, and ids that stand in two lines."""
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


def _unknown_ids(items: ItemTable, file: Path, unknown: Sequence[tuple[int, str]]) -> str:
    line, item_id = unknown[0]
    near = difflib.get_close_matches(item_id, items.ids, n=1, cutoff=0.75) if len(items.ids) <= LARGEST_SEARCH else []
    message = f"{file}:{line}: item {item_id!r} has no row in {items.file}"
    if near:
        message += f"; the nearest id there is {near[0]!r}"
    if len(unknown) > 1:
        message += (
            f"; in all {len(unknown)} such entries: {shortlist(f'{name!r} in line {at}' for at, name in unknown)}"
        )
    return message
