"""What readers with one row an interaction share: the policies on rows."""

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.readers.base import FileSource

if TYPE_CHECKING:
    from peftrec.data.readers.row_tables import RowTables
    from peftrec.data.tables.tables import HistoryTable, ItemTable
from peftrec.data.choices import RepeatedInteractions, UnknownItems

OLDEST = ", or to null where the rows of a user stand oldest first"
"""What else than a name the key of a timestamp may be set to."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RowSource(FileSource):
    """A table of items and a table of interactions; ids are text, whatever the type of their columns."""

    unknown_items: UnknownItems = "error"
    """Interactions with an item that the items' table lacks: an error, or dropped."""

    repeated_interactions: RepeatedInteractions = "error"
    """Rows of the same user, item and time: an error, dropped but the first, or kept. Without timestamps no row is
    known to be a repetition. `earliest` keeps the first row of each user and item, whatever the time."""

    @abstractmethod
    def read_rows(self, root: Path) -> "RowTables":
        """Read both tables; both are looked for before either is read."""

    def read_tables(self, root: Path) -> "tuple[ItemTable, HistoryTable]":
        """Read, gather each user's rows and sort them by time; rows of one time stay as the file has them."""
        from peftrec.data.readers.row_tables import link_rows

        return link_rows(self.read_rows(root), unknown_items=self.unknown_items, repeated=self.repeated_interactions)
