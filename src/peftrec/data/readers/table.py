"""Your own tables: one of interactions, one of items, each CSV, TSV (`.gz` too) or Parquet with named columns."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from peftrec.config.roles import Place
from peftrec.config.strict import STRICT
from peftrec.data.readers.rows import OLDEST, RowSource

if TYPE_CHECKING:
    from peftrec.data.readers.row_tables import RowTables


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TableFiles(RowSource):
    """Two files whose formats their suffixes tell: `.csv` (quoted as RFC 4180 says), `.tsv` (never quoted),
    `.parquet`. Data of ids alone is one file, of interactions."""

    interactions: Place[str] = "interactions.csv"
    """File below `root` with one row an interaction."""
    items: Place[str | None] = "items.csv"
    """File below `root` with one row an item; null where there are ids alone, which `interactions` names."""
    user_column: str = "user"
    """Column of `interactions`."""
    item_column: str = "item"
    """Column of `interactions`: an id that `item_id_column` of `items` holds."""
    timestamp_column: str | None = "timestamp"
    """Column of `interactions` with numbers or dates; null where the rows of a user stand oldest first."""
    item_id_column: str = "item"
    """Column of `items`."""
    text_columns: tuple[str, ...] = ("title",)
    """Columns of `items`: `title, brand` gives `<title>. brand: <brand>`. Empty for data without text."""
    image_column: str | None = None
    """Column of `items` with the path of each item's image below `root`, instead of `images`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_column is not None and super().has_images:
            raise ValueError("image_column excludes images and rendered_images; set it or them to null")
        if self.items is None and (self.text_columns or self.texts or self.image_column):
            raise ValueError("items=null has no columns: set text_columns=[] and image_column=null, and name no texts")

    @property
    def has_images(self) -> bool:
        """Say whether the configuration names images."""
        return super().has_images or self.image_column is not None

    @property
    def has_text(self) -> bool:
        """Say whether the configuration names text."""
        return bool(self.text_columns)

    @property
    def text_key(self) -> str:
        """Return the key that names columns of text."""
        return "data.text_columns"

    def read_rows(self, root: Path) -> "RowTables":
        """Read the columns that the configuration names."""
        from peftrec.data.readers.formats import read_table
        from peftrec.data.readers.row_tables import RowTables
        from peftrec.data.tables.columns import Wanted
        from peftrec.data.tables.locations import IDS_ALONE, require_file

        hint = f"; to train on ids alone, add: data.items=null data.text_columns=[] {IDS_ALONE}"
        items_file = None if self.items is None else require_file(root, self.items, key="data.items", otherwise=hint)
        interactions_file = require_file(root, self.interactions, key="data.interactions")
        image = [] if self.image_column is None else [Wanted("data.image_column", self.image_column)]
        texts = [Wanted("data.text_columns", name) for name in self.text_columns] + self.columns_of_texts()
        item_id = Wanted("data.item_id_column", self.item_id_column)
        items = None if items_file is None else read_table(items_file, [item_id, *texts, *image])
        time = [] if self.timestamp_column is None else [Wanted("data.timestamp_column", self.timestamp_column, OLDEST)]
        events = [Wanted("data.user_column", self.user_column), Wanted("data.item_column", self.item_column)]
        return RowTables(
            items=items,
            item_id=self.item_id_column,
            texts=[(name, name) for name in self.text_columns],
            further=self.labelled_texts,
            image_path=self.image_column,
            interactions=read_table(interactions_file, [*events, *time]),
            user=self.user_column,
            item=self.item_column,
            time=self.timestamp_column,
        )
