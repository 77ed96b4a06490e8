"""PixelRec (arXiv:2309.06789): covers, titles and descriptions of videos; the item stands before the user."""

from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.datasets.base import PublishedFiles

if TYPE_CHECKING:
    from peftrec.data.datasets.layout import Edition, Layout


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PixelRec(PublishedFiles):
    """`interaction.csv` and `item_info.csv`; further editions name theirs by `interactions` and `items`."""

    edition: Literal["50K"] | None = None
    """Null where the counts are not to be compared with those that the authors give."""

    def layout(self) -> "Layout":
        """Both files have a header line."""
        from peftrec.data.datasets.layout import Layout
        from peftrec.data.readers.delimited import CSV
        from peftrec.data.readers.forms import Delimited

        return Layout(
            interactions={"interaction.csv": Delimited(CSV)},
            user="user_id",
            item="item_id",
            time="timestamp",
            items={"item_info.csv": Delimited(CSV)},
            item_id="item_id",
        )

    def published_edition(self) -> "Edition | None":
        """As the repository's README says."""
        from peftrec.data.datasets.layout import Edition

        return Edition(interactions=989_494, users=50_000) if self.edition == "50K" else None
