"""Two tables with one row an item and one row an interaction, and how they become items and histories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from peftrec.data.choices import RepeatedInteractions, UnknownItems
from peftrec.data.tables.columns import Columns, release_unused
from peftrec.data.tables.events import EventLinking, Events, first_places, lines_of
from peftrec.data.tables.tables import HistoryTable, ItemTable

TEXT_SEPARATOR = ". "


@dataclass(frozen=True, kw_only=True)
class RowTables:
    """Two tables as read, and which of their columns is which."""

    items: Columns | None
    """None where there are ids alone: the items are those of the interactions."""
    item_id: str
    texts: Sequence[tuple[str, str]]
    """Label and column of each text field."""
    interactions: Columns
    user: str
    item: str
    time: str | None
    further: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    """The same of each further text, by its name."""
    image_path: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    """What the reader did before, for the record."""


def link_rows(
    tables: RowTables, *, unknown_items: UnknownItems, repeated: RepeatedInteractions
) -> tuple[ItemTable, HistoryTable]:
    """Gather each user's rows and sort them by time; rows of one time stay as the file has them."""
    events, counts = events_of(tables), dict(tables.counts)
    items = items_of_events(events) if tables.items is None else items_of(tables, tables.items)
    del tables  # a table of ten million rows as text takes as much memory as all that is made of it
    release_unused()
    linking = EventLinking(events=events, items=items, unknown_items=unknown_items, repeated=repeated, counts=counts)
    return items, linking.link()


def items_of(tables: RowTables, columns: Columns) -> ItemTable:
    """Return the items as their file has them."""
    return ItemTable(
        file=columns.file,
        ids=columns.ids(tables.item_id).rows(),
        titles=joined_columns(columns, tables.texts) if tables.texts else None,
        lines=columns.lines,
        texts={name: joined_columns(columns, fields) for name, fields in tables.further.items()},
        image_paths=None if tables.image_path is None else tuple(columns.texts(tables.image_path)),
    )


def items_of_events(events: Events) -> ItemTable:
    """Return the items that the interactions name, which have nothing but their ids."""
    lines = lines_of(events.lines, first_places(events.items)).tolist()
    return ItemTable(file=events.file, ids=tuple(events.items.names), titles=None, lines=lines)


def events_of(tables: RowTables) -> Events:
    """Return the interactions as the file has them."""
    rows = tables.interactions
    return Events(
        file=rows.file,
        users=rows.ids(tables.user),
        items=rows.ids(tables.item),
        times=None if tables.time is None else rows.times(tables.time),
        lines=rows.lines,
    )


def joined_columns(columns: Columns, fields: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return one text an item, of one field or more by their labels and columns: the first as it stands, each further
    one as `label: value`, joined by `. `. An empty field is left out with its label."""
    (_, first), *further = dict(fields).items()
    joined = columns.texts(first)
    for label, name in further:
        values = columns.texts(name)
        joined = [
            TEXT_SEPARATOR.join(part for part in (text.strip(), value.strip() and f"{label}: {value.strip()}") if part)
            for text, value in zip(joined, values, strict=True)
        ]
    return tuple(joined)
