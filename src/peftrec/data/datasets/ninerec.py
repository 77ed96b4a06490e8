"""NineRec (arXiv:2309.07705): nine data sets of five platforms and their sources, with texts and covers.

No file has a header line. Most pair files have the item before the user, QB's and TN's the user before the item and no
times: which column holds items is told by the table of items, and QB and TN are read from their sequences.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.datasets.base import PublishedFiles
from peftrec.errors import DataError

if TYPE_CHECKING:
    from peftrec.data.datasets.layout import Layout
    from peftrec.data.tables.columns import Columns
    from peftrec.data.tables.tables import HistoryTable, ItemTable

SEQUENCES = ".tsv"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NineRec(PublishedFiles):
    """`<dataset>_pair.csv` or `<dataset>_behaviour.tsv`, and `<dataset>_item.csv`."""

    dataset: str = Field(min_length=1)
    """As the files are named: QB, TN, ..."""
    text_fields: tuple[str, ...] = ("english",)
    """`chinese`, `english`, or both."""

    def layout(self) -> "Layout":
        """Name columns from the left."""
        from peftrec.data.datasets.layout import Layout
        from peftrec.data.readers.delimited import CSV
        from peftrec.data.readers.forms import Delimited

        return Layout(
            interactions={f"{self.dataset}_pair.csv": Delimited(CSV, columns=("first", "second", "timestamp"))},
            user="second",
            item="first",
            time="timestamp",
            items={f"{self.dataset}_item.csv": Delimited(CSV, columns=("item", "chinese", "english"))},
            item_id="item",
        )

    def user_and_item(self, layout: "Layout", events: "Columns", items: "Columns") -> tuple[str, str]:
        """Take for items the column of which more ids have a row among the items."""
        known = set(items.ids(layout.item_id).names)
        shares = {}
        for name in (layout.item, layout.user):
            names = events.ids(name).names
            shares[name] = len(known.intersection(names)) / len(names)
        if shares[layout.item] == shares[layout.user]:
            raise DataError(
                f"{events.file}: as many ids of the first column as of the second have a row in {items.file}: which of "
                "them holds items cannot be told; give the files of one data set"
            )
        user, item = sorted((layout.item, layout.user), key=shares.__getitem__)
        return user, item

    def read_tables(self, root: Path) -> "tuple[ItemTable, HistoryTable]":
        """Read pairs where they have times, else the sequences."""
        sequences = self._sequences(root)
        return super().read_tables(root) if sequences is None else self._read_sequences(root, sequences)

    def _sequences(self, root: Path) -> str | None:
        if self.interactions is not None:
            return self.interactions if self.interactions.endswith(SEQUENCES) else None
        name = f"{self.dataset}_behaviour{SEQUENCES}"
        return name if (root / name).is_file() and not _has_times(root / f"{self.dataset}_pair.csv") else None

    def _read_sequences(self, root: Path, name: str) -> "tuple[ItemTable, HistoryTable]":
        from peftrec.data.datasets.layout import find_file, first_rows
        from peftrec.data.readers.row_tables import joined_columns
        from peftrec.data.tables.lines import read_rows
        from peftrec.data.tables.locations import require_file
        from peftrec.data.tables.tables import ItemTable, link_histories

        layout = self.layout()
        file = require_file(root, name, key="data.interactions")
        items_file, form = find_file(root, layout.items, self.items, key="data.items")
        columns, _ = first_rows(form.read(items_file, self.columns_of_items(layout)), layout.item_id)
        title = [(name, name) for name in self.text_fields]
        items = ItemTable(
            file=items_file,
            ids=columns.ids(layout.item_id).rows(),
            titles=joined_columns(columns, title) if title else None,
            texts={name: joined_columns(columns, fields) for name, fields in self.labelled_texts.items()},
            lines=columns.lines,
        )
        rows = read_rows(file, ("user", "item item ..."))
        lines = range(1, len(rows) + 1)
        return items, link_histories(items, file, [row[0] for row in rows], [row[1] for row in rows], lines)


def _has_times(pairs: Path) -> bool:
    """Say whether a file of pairs has a third column."""
    if not pairs.is_file():
        return False
    with pairs.open("rb") as stream:
        return stream.readline().count(b",") > 1
