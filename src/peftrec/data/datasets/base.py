"""What the data sets that are known by name share: their files are read as their authors publish them."""

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic.dataclasses import dataclass

from peftrec.config.fields import Later
from peftrec.config.roles import Place
from peftrec.config.strict import STRICT
from peftrec.data.choices import Policy
from peftrec.data.readers.rows import RowSource
from peftrec.errors import DataError

if TYPE_CHECKING:
    from peftrec.data.datasets.layout import Edition, Layout
    from peftrec.data.readers.row_tables import RowTables
    from peftrec.data.tables.columns import Columns, Wanted
    from peftrec.data.tables.tables import HistoryTable, ItemTable

PICTURE = "path of the picture"
"""Column that a data set may add to its items, where pictures lie in folders of their own."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PublishedFiles(RowSource):
    """A data set says its layout; ids are text, the first of several rows of one item counts, and rows of one user and
    time stay as the file has them."""

    interactions: Place[str | None] = None
    """File below `root` in place of the published one, in its layout; null for the published name."""
    items: Place[str | None] = None
    """The same for the table of items."""
    text_fields: tuple[str, ...] = ("title",)
    """Columns of the items: `title, brand` gives `<title>. brand: <brand>`. Empty for data without text."""

    empty_texts: Annotated[Policy, Later()] = "blank"

    @abstractmethod
    def layout(self) -> "Layout":
        """Say which files there are, and what is in them."""

    def published_edition(self) -> "Edition | None":
        """Return what the edition that is named holds, where that is known."""
        return None

    def prepared_items(self, root: Path, items: "Columns") -> "Columns":
        """Return the table of items with what only this data set knows about it."""
        return items

    def user_and_item(self, layout: "Layout", events: "Columns", items: "Columns") -> tuple[str, str]:
        """Return the columns of the interactions that hold users and items."""
        return layout.user, layout.item

    @property
    def has_text(self) -> bool:
        """Say whether the configuration names text."""
        return bool(self.text_fields)

    def columns_of_items(self, layout: "Layout") -> "list[Wanted]":
        """Return the columns of the items that are read."""
        from peftrec.data.tables.columns import Wanted

        title = [Wanted("data.text_fields", each) for each in self.text_fields]
        item_id = Wanted("data.items", layout.item_id, remedy=_as_published(layout.item_id))
        return [item_id, *title, *self.columns_of_texts()]

    def read_rows(self, root: Path) -> "RowTables":
        """Read both tables; both are looked for before either is read."""
        from peftrec.data.datasets.layout import find_file, first_rows
        from peftrec.data.readers.row_tables import RowTables
        from peftrec.data.tables.columns import Wanted

        layout = self.layout()
        items_file, items_form = find_file(root, layout.items, self.items, key="data.items")
        events_file, events_form = find_file(root, layout.interactions, self.interactions, key="data.interactions")
        items, num_repeated = first_rows(items_form.read(items_file, self.columns_of_items(layout)), layout.item_id)
        items = self.prepared_items(root, items)
        names = (layout.user, layout.item, layout.time)
        wanted = [Wanted("data.interactions", name, remedy=_as_published(*names)) for name in names]
        events = events_form.read(events_file, wanted)
        self._require_whole(events)
        user, item = self.user_and_item(layout, events, items)
        return RowTables(
            items=items,
            item_id=layout.item_id,
            texts=[(name, name) for name in self.text_fields],
            further=self.labelled_texts,
            interactions=events,
            user=user,
            item=item,
            time=layout.time,
            image_path=PICTURE if PICTURE in items.columns else None,
            counts={"item_rows_dropped_repeated": num_repeated} if num_repeated else {},
        )

    def read_tables(self, root: Path) -> "tuple[ItemTable, HistoryTable]":
        """Read, check the counts, gather each user's rows and sort them by time."""
        items, histories = super().read_tables(root)
        edition = self.published_edition()
        if edition is not None and edition.users not in (None, len(histories)):
            raise DataError(self._other_count(histories.file, "users", len(histories), edition.users))
        return items, histories

    def _require_whole(self, events: "Columns") -> None:
        """Refuse a download that broke off."""
        edition = self.published_edition()
        if edition is not None and len(events) != edition.interactions:
            raise DataError(self._other_count(events.file, "interactions", len(events), edition.interactions))

    def _other_count(self, file: Path, what: str, found: int, expected: int | None) -> str:
        return (
            f"{file}: {found:,} {what}, and this edition has {expected:,}: download it again, or set data.edition=null "
            "for a file of your own"
        )


def _as_published(*columns: str) -> str:
    """Say what to do about a table that lacks one of the columns which this data set has, and no key names."""
    named = f"{', '.join(columns[:-1])} and {columns[-1]}" if len(columns) > 1 else columns[0]
    return f"take the file as it is published, or call its columns {named}"
