"""H&M Personalized Fashion Recommendations (Kaggle, 2022): purchases by day, articles, and their pictures.

An article's id has ten digits with zeros in front, which whoever reads it as a number loses. A day is all that is known
of a purchase's time: purchases of a day stay in the order of the file.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.datasets.base import PICTURE, PublishedFiles
from peftrec.errors import DataError

if TYPE_CHECKING:
    from peftrec.data.datasets.layout import Edition, Layout
    from peftrec.data.tables.columns import Columns

ID = "article_id"
DIGITS, FOLDER_DIGITS = 10, 3


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HM(PublishedFiles):
    """`transactions_train.csv`, `articles.csv`, and pictures as `images/<first three digits>/<article>.jpg`."""

    edition: Literal["competition"] | None = "competition"
    """Null for a part of the transactions."""
    text_fields: tuple[str, ...] = ("prod_name", "detail_desc")

    def layout(self) -> "Layout":
        """Both files have a header line."""
        from peftrec.data.datasets.layout import Layout
        from peftrec.data.readers.delimited import CSV
        from peftrec.data.readers.forms import Delimited

        return Layout(
            interactions={"transactions_train.csv": Delimited(CSV)},
            user="customer_id",
            item=ID,
            time="t_dat",
            items={"articles.csv": Delimited(CSV)},
            item_id=ID,
        )

    def published_edition(self) -> "Edition | None":
        """As many who loaded the file count it."""
        from peftrec.data.datasets.layout import Edition

        return None if self.edition is None else Edition(interactions=31_788_324)

    def prepared_items(self, root: Path, items: "Columns") -> "Columns":
        """Refuse ids that lost their zeros, and say where pictures lie if they are in their published folders."""
        from peftrec.data.datasets.layout import with_texts

        ids = items.texts(ID)
        for row, article in enumerate(ids):
            if len(article) != DIGITS or not article.isdecimal():
                raise DataError(
                    f"{items.place(row)}: {ID} is {article!r}, and an article has {DIGITS} digits: a program that read "
                    "the ids as numbers drops zeros in front; take the published file"
                )
        if self.images is None or not (root / self.images).is_dir():
            return items
        paths = [f"{self.images}/{article[:FOLDER_DIGITS]}/{article}.jpg" for article in ids]
        return with_texts(items, PICTURE, paths)
