"""The layout that the IISAN repository publishes: items with titles, and users with their items, oldest first."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from peftrec.config.roles import Place
from peftrec.config.strict import STRICT
from peftrec.data.readers.base import FileSource
from peftrec.errors import DataError

if TYPE_CHECKING:
    from peftrec.data.tables.tables import HistoryTable, ItemTable


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IisanFiles(FileSource):
    """Two UTF-8 files without header and without quoting: titles hold stray quotes."""

    items: Place[str] = "items.tsv"
    """File below `root` with lines `item<TAB>title`."""

    users: Place[str] = "users.tsv"
    """File below `root` with lines `user<TAB>item item ...`, oldest first."""

    def read_tables(self, root: Path) -> "tuple[ItemTable, HistoryTable]":
        """Read both files; both are looked for before either is read."""
        from peftrec.data.tables.lines import read_rows
        from peftrec.data.tables.locations import require_file
        from peftrec.data.tables.tables import ItemTable, link_histories

        items_file = require_file(root, self.items, key="data.items")
        users_file = require_file(root, self.users, key="data.users")
        rows = read_rows(items_file, ("item", "title"))
        items = ItemTable(
            file=items_file,
            ids=tuple(row[0] for row in rows),
            titles=tuple(row[1] for row in rows),
            lines=range(1, len(rows) + 1),
        )
        _refuse_white_space(items)
        rows = read_rows(users_file, ("user", "item item ..."))
        lines = range(1, len(rows) + 1)
        return items, link_histories(items, users_file, [row[0] for row in rows], [row[1] for row in rows], lines)


def _refuse_white_space(items: "ItemTable") -> None:
    for item, item_id in enumerate(items.ids):
        if item_id.split() != [item_id]:
            raise DataError(
                f"{items.place(item)}: the item id {item_id!r} holds white space, which separates ids in histories"
            )
