"""RecBole's atomic files: `<dataset>.inter` and `<dataset>.item`, whose header types each field (`item_id:token`).

https://recbole.io/docs/user_guide/data/atomic_files.html; `.user` and the other files are not read. Nothing is quoted.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.readers.rows import OLDEST, RowSource
from peftrec.errors import DataError

if TYPE_CHECKING:
    from peftrec.data.readers.delimited import DelimitedFile, Dialect
    from peftrec.data.readers.row_tables import RowTables
    from peftrec.data.tables.columns import Columns, Wanted

TOKEN, NUMBER = ("token",), ("float",)
ANY = ("token", "token_seq", "float", "float_seq")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RecBoleFiles(RowSource):
    """Field names without their types; RecBole's own names by default."""

    dataset: str = Field(min_length=1)
    """The files are `<dataset>.inter` and `<dataset>.item` below `root`."""
    user_field: str = "user_id"
    """Field of `.inter` that holds user ids."""
    item_field: str = "item_id"
    """Field of `.inter` and of `.item` that holds item ids."""
    time_field: str | None = "timestamp"
    """A float field of `.inter`; null where the rows of a user stand oldest first."""
    text_fields: tuple[str, ...] = ("title",)
    """Fields of `.item`: `title, brand` gives `<title>. brand: <brand>`. Empty for data without text, which needs no
    `.item`: without it, the items are those of `.inter`."""
    field_separator: str = Field(default="\t", min_length=1, max_length=1)
    """What stands between fields: one character."""

    @property
    def has_text(self) -> bool:
        """Say whether the configuration names text."""
        return bool(self.text_fields)

    def read_rows(self, root: Path) -> "RowTables":
        """Read the fields that the configuration names; sequences of tokens are text as they stand."""
        from peftrec.data.readers.delimited import DelimitedFile, Dialect
        from peftrec.data.readers.row_tables import RowTables
        from peftrec.data.tables.columns import Wanted
        from peftrec.data.tables.locations import require_file

        dialect = Dialect(delimiter=self.field_separator, has_quotes=False)
        items_file = self._items_file(root)
        events_file = require_file(root, f"{self.dataset}.inter", key="data.dataset")
        items, item_id, columns = (None, "", {}) if items_file is None else self._read_items(items_file, dialect)
        events = DelimitedFile.open(events_file, dialect)
        user = typed_column(events, Wanted("data.user_field", self.user_field), TOKEN)
        item = typed_column(events, Wanted("data.item_field", self.item_field), TOKEN)
        time = self.time_field and typed_column(events, Wanted("data.time_field", self.time_field, OLDEST), NUMBER)
        return RowTables(
            items=items,
            item_id=item_id,
            texts=[(name, columns[name]) for name in self.text_fields],
            further={text: [(name, columns[name]) for name in names] for text, names in self.texts.items()},
            interactions=events.read([user, item, *([time] if time else [])]),
            user=user.name,
            item=item.name,
            time=time.name if time else None,
        )

    def _items_file(self, root: Path) -> Path | None:
        """Return `.item`; None where there is none and nothing but ids is asked for."""
        from peftrec.data.tables.locations import IDS_ALONE, require_file

        name = f"{self.dataset}.item"
        if not (self.text_fields or self.texts) and not (root / name).exists():
            return None
        hint = f"; to train on ids alone, add: data.text_fields=[] {IDS_ALONE}"
        return require_file(root, name, key="data.dataset", otherwise=hint)

    def _read_items(self, file: Path, dialect: "Dialect") -> "tuple[Columns, str, dict[str, str]]":
        """Return the fields of `.item`, the column of the id, and those of the fields of texts by their names."""
        from peftrec.data.readers.delimited import DelimitedFile
        from peftrec.data.tables.columns import Wanted

        table = DelimitedFile.open(file, dialect)
        item_id = typed_column(table, Wanted("data.item_field", self.item_field), TOKEN)
        wanted = [*(Wanted("data.text_fields", name) for name in self.text_fields), *self.columns_of_texts()]
        texts = {field.name: typed_column(table, field, ANY) for field in wanted}
        names = {name: column.name for name, column in texts.items()}
        return table.read([item_id, *texts.values()]), item_id.name, names


def typed_column(table: "DelimitedFile", wanted: "Wanted", types: Sequence[str]) -> "Wanted":
    """Return the column of a field by its whole name, `<field>:<type>`.

    Raises DataError where a field of the header has no type, or the wanted one has another than `types`.
    """
    from peftrec.data.tables.columns import require_columns

    names = table.header()
    typed = [name.rpartition(":") for name in names]
    for name, (field, _, kind) in zip(names, typed, strict=True):
        if not field or kind not in ANY:
            raise DataError(f"{table.file}:1: {name!r} has no type: write <field>:<type> with one of {', '.join(ANY)}")
    fields = [field for field, _, _ in typed]
    require_columns(table.file, fields, [wanted], are_of_first_line=False)  # a row has no types
    place = fields.index(wanted.name)
    if (kind := typed[place][2]) not in types:
        raise DataError(
            f"{table.file}:1: field {wanted.name!r} is a {kind}, not a {' or '.join(types)}: correct the header or "
            f"{wanted.key}"
        )
    return replace(wanted, name=names[place])
