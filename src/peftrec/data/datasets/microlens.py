"""MicroLens (arXiv:2309.15379): micro-videos with titles and covers, 50,000 or 100,000 users.

The titles of one edition have a header line and those of the other none; timestamps are in milliseconds.
"""

from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.datasets.base import PublishedFiles

if TYPE_CHECKING:
    from peftrec.data.datasets.layout import Edition, Layout


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MicroLens(PublishedFiles):
    """`MicroLens-<edition>_pairs.csv` (the `.tsv` of sequences has no times and is not read) and the titles."""

    edition: Literal["50k", "100k"] | None = "50k"
    """Null for files of your own, named by `interactions` and `items`."""

    def layout(self) -> "Layout":
        """Read a first line of names as a header, and as the first title where there is none."""
        from peftrec.data.datasets.layout import Layout
        from peftrec.data.readers.delimited import CSV
        from peftrec.data.readers.forms import Delimited

        titles = Delimited(CSV, columns=("item", "title"))
        return Layout(
            interactions={f"MicroLens-{self.edition}_pairs.csv": Delimited(CSV)},
            user="user",
            item="item",
            time="timestamp",
            items={f"MicroLens-{self.edition}_{name}.csv": titles for name in ("titles", "title_en")},
            item_id="item",
        )

    def published_edition(self) -> "Edition | None":
        """Users as the authors say; interactions as several who loaded the files count them."""
        from peftrec.data.datasets.layout import Edition

        editions = {
            "50k": Edition(interactions=359_708, users=50_000),
            "100k": Edition(interactions=719_405, users=100_000),
        }
        return editions.get(self.edition or "")
