"""Amazon product data, 2014 (SIGIR 2015): ratings without header, and items as Python literals, which are no JSON.

A literal is read by `ast.literal_eval` and nothing in it is ever evaluated. The published example evaluates each line.
"""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.datasets.base import PublishedFiles

if TYPE_CHECKING:
    from peftrec.data.datasets.layout import Layout


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Amazon2014(PublishedFiles):
    """`ratings_<category>.csv` or `reviews_<category>_5.json`, and `meta_<category>.json`."""

    category: str = Field(min_length=1)
    """As the files are named: Baby, ..."""

    def layout(self) -> "Layout":
        """The columns of the ratings are called as the fields of a review."""
        from peftrec.data.datasets.layout import Layout
        from peftrec.data.readers.delimited import CSV
        from peftrec.data.readers.forms import Delimited, JsonLines, Objects
        from peftrec.data.readers.object_lines import parse_literal

        ratings = Delimited(CSV, columns=("reviewerID", "asin", "overall", "unixReviewTime"))
        return Layout(
            interactions={
                f"ratings_{self.category}.csv": ratings,
                f"reviews_{self.category}_5.json": JsonLines(whole_numbers=("unixReviewTime",)),
            },
            user="reviewerID",
            item="asin",
            time="unixReviewTime",
            items={f"meta_{self.category}.json": Objects(parse_literal)},
            item_id="asin",
        )
