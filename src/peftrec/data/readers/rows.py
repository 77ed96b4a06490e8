"""What readers with one row an interaction share: the policies on rows."""

from abc import abstractmethod
from collections.abc import Container
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from peftrec.config.fields import Later
from peftrec.config.strict import STRICT
from peftrec.data.choices import TITLE, RepeatedInteractions, UnknownItems
from peftrec.data.readers.base import FileSource
from peftrec.errors import SettingsError

if TYPE_CHECKING:
    from peftrec.data.readers.row_tables import RowTables
    from peftrec.data.tables.columns import Wanted
    from peftrec.data.tables.tables import HistoryTable, ItemTable

OLDEST = ", or to null where the rows of a user stand oldest first"
"""What else than a name the key of a timestamp may be set to."""

NO_NAMES_OF_TEXTS = frozenset({TITLE, "item", "id", "image"})
"""What new items say beside their texts, in a table or to a service."""


def _one_or_several(columns: Any) -> Any:
    return (columns,) if isinstance(columns, str) else tuple(columns) if isinstance(columns, list) else columns


def _may_be_called(name: str) -> bool:
    return name.isidentifier() and not name.startswith("_") and name not in NO_NAMES_OF_TEXTS


TextColumns = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_one_or_several)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RowSource(FileSource):
    """A table of items and a table of interactions; ids are text, whatever the type of their columns."""

    unknown_items: UnknownItems = "error"
    """Interactions with an item that the items' table lacks: an error, or dropped."""

    repeated_interactions: RepeatedInteractions = "error"
    """Rows of the same user, item and time: an error, dropped but the first, or kept. Without timestamps no row is
    known to be a repetition. `earliest` keeps the first row of each user and item, whatever the time."""

    texts: Annotated[dict[str, TextColumns], Later()] = field(default_factory=dict)
    """Further texts of items beside their titles, by names of your own: each is one column of the items or several, as
    a title may be (`data.texts.description=[description,features]`), and is read by towers that name it
    (`towers.NAME.text=description`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.texts:
            if not _may_be_called(name):
                raise SettingsError(
                    f"data.texts.{name}: a further text has a name of letters, digits and underscores, a letter "
                    f"first, and not {', '.join(sorted(NO_NAMES_OF_TEXTS))}; choose another"
                )

    @property
    def further_texts(self) -> tuple[str, ...]:
        """Return the names of the texts that the configuration names."""
        return tuple(self.texts)

    def unread_texts(self, read: Container[str]) -> list[str]:
        """Return those of them that are not among `read`."""
        return [name for name in self.texts if name not in read]

    def instead_of_text(self, name: str) -> str:
        """Say what to do about a tower that reads a text of this name, which the items do not have."""
        return (
            f"name its columns by data.texts.{name}=[COLUMN]" if _may_be_called(name) else super().instead_of_text(name)
        )

    @property
    def labelled_texts(self) -> dict[str, list[tuple[str, str]]]:
        """Return label and column of each field of the further texts."""
        return {name: [(column, column) for column in columns] for name, columns in self.texts.items()}

    def columns_of_texts(self) -> "list[Wanted]":
        """Return the columns of the further texts, with the keys that name them."""
        from peftrec.data.tables.columns import Wanted

        return [Wanted(f"data.texts.{name}", column) for name, columns in self.texts.items() for column in columns]

    @abstractmethod
    def read_rows(self, root: Path) -> "RowTables":
        """Read both tables; both are looked for before either is read."""

    def read_tables(self, root: Path) -> "tuple[ItemTable, HistoryTable]":
        """Read, gather each user's rows and sort them by time; rows of one time stay as the file has them."""
        from peftrec.data.readers.row_tables import link_rows

        return link_rows(self.read_rows(root), unknown_items=self.unknown_items, repeated=self.repeated_interactions)
