"""What readers with one row an interaction share: the policies on rows, and the text of an item with several fields."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.readers.base import FileSource
from peftrec.data.tables.columns import Columns
from peftrec.data.tables.events import EventLinking, Events, RepeatedInteractions, UnknownItems
from peftrec.data.tables.tables import HistoryTable, ItemTable

TEXT_SEPARATOR = ". "
OLDEST = ", or to null where the rows of a user stand oldest first"
"""What else than a name the key of a timestamp may be set to."""


@plain_dataclass(frozen=True, kw_only=True)
class RowTables:
    """Two tables as read, and which of their columns is which."""

    items: Columns
    item_id: str
    texts: Sequence[tuple[str, str]]
    """Label and column of each text field."""
    interactions: Columns
    user: str
    item: str
    time: str | None
    image_path: str | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RowSource(FileSource):
    """A table of items and a table of interactions; ids are text, whatever the type of their columns."""

    unknown_items: UnknownItems = "error"
    """Interactions with an item that the items' table lacks: an error, or dropped."""

    repeated_interactions: RepeatedInteractions = "error"
    """Rows of the same user, item and time: an error, dropped but the first, or kept. Without timestamps no row is
    known to be a repetition."""

    @abstractmethod
    def read_rows(self, root: Path) -> RowTables:
        """Read both tables; both are looked for before either is read."""

    def read_tables(self, root: Path) -> tuple[ItemTable, HistoryTable]:
        """Read, gather each user's rows and sort them by time; rows of one time stay as the file has them."""
        tables = self.read_rows(root)
        columns = tables.items
        items = ItemTable(
            file=columns.file,
            ids=columns.ids(tables.item_id).rows(),
            titles=join_texts({label: columns.texts(name) for label, name in tables.texts}),
            lines=columns.lines,
            image_paths=None if tables.image_path is None else tuple(columns.texts(tables.image_path)),
        )
        rows = tables.interactions
        events = Events(
            file=rows.file,
            users=rows.ids(tables.user),
            items=rows.ids(tables.item),
            times=None if tables.time is None else rows.times(tables.time),
            lines=rows.lines,
        )
        linking = EventLinking(
            events=events, items=items, unknown_items=self.unknown_items, repeated=self.repeated_interactions
        )
        return items, linking.link()


def join_texts(fields: dict[str, list[str]]) -> tuple[str, ...] | None:
    """Return one text an item: the first field as it stands, each further one as `label: value`, joined by `. `.

    An empty field is left out with its label. None where there is no field.
    """
    if not fields:
        return None
    (_, first), *further = fields.items()
    joined = list(first)
    for label, values in further:
        joined = [
            TEXT_SEPARATOR.join(part for part in (text.strip(), value.strip() and f"{label}: {value.strip()}") if part)
            for text, value in zip(joined, values, strict=True)
        ]
    return tuple(joined)
