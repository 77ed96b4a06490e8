"""Amazon Reviews 2023 (arXiv:2403.03952): an item is known by its `parent_asin`, times are in milliseconds.

Reviews are lines of JSON; the authors' ready lists of ratings are CSV files with the same names of fields. Some items
have no line in the table of items.
"""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.datasets.base import PublishedFiles

if TYPE_CHECKING:
    from peftrec.data.datasets.layout import Layout


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Amazon2023(PublishedFiles):
    """`<category>.jsonl` or `<category>.csv`, and `meta_<category>.jsonl`."""

    category: str = Field(min_length=1)
    """As the files are named: Baby_Products, ..."""

    def layout(self) -> "Layout":
        """The reviews and the lists of ratings share their names of fields."""
        from peftrec.data.datasets.layout import Layout
        from peftrec.data.readers.delimited import CSV
        from peftrec.data.readers.forms import Delimited, JsonLines, Objects
        from peftrec.data.readers.object_lines import parse_json

        return Layout(
            interactions={
                f"{self.category}.jsonl": JsonLines(whole_numbers=("timestamp",)),
                f"{self.category}.csv": Delimited(CSV),
            },
            user="user_id",
            item="parent_asin",
            time="timestamp",
            items={f"meta_{self.category}.jsonl": Objects(parse_json)},
            item_id="parent_asin",
        )
