"""Amazon review data, 2018 (EMNLP 2019): reviews, and lists of ratings without header, where the item stands first.

Some titles hold the script of a page in place of a title, as the authors warn: such a title counts as empty. Some items
have several lines.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.datasets.base import PublishedFiles

if TYPE_CHECKING:
    from peftrec.data.datasets.layout import Layout
    from peftrec.data.tables.columns import Columns

TITLE = "title"
SCRIPT = "getTime"
"""What the authors' own example looks for in a title that is a script."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Amazon2018(PublishedFiles):
    """`<category>.csv`, `<category>.json` or `<category>_5.json`, and `meta_<category>.json`."""

    category: str = Field(min_length=1)
    """As the files are named: Industrial_and_Scientific, ..."""

    def layout(self) -> "Layout":
        """The columns of a list of ratings are called as the fields of a review."""
        from peftrec.data.datasets.layout import Layout
        from peftrec.data.readers.delimited import CSV
        from peftrec.data.readers.forms import Delimited, JsonLines, Objects
        from peftrec.data.readers.object_lines import parse_json

        reviews = JsonLines(whole_numbers=("unixReviewTime",))
        return Layout(
            interactions={
                f"{self.category}.csv": Delimited(CSV, columns=("asin", "reviewerID", "overall", "unixReviewTime")),
                f"{self.category}.json": reviews,
                f"{self.category}_5.json": reviews,
            },
            user="reviewerID",
            item="asin",
            time="unixReviewTime",
            items={f"meta_{self.category}.json": Objects(parse_json)},
            item_id="asin",
        )

    def prepared_items(self, root: Path, items: "Columns") -> "Columns":
        """Take scripts out of titles."""
        import pyarrow.compute as pc

        from peftrec.data.datasets.layout import with_column

        if TITLE not in items.columns:
            return items
        titles = items.columns[TITLE]
        is_script = pc.fill_null(pc.match_substring(titles, SCRIPT), False)
        return with_column(items, TITLE, pc.if_else(is_script, "", titles))
