"""The data that MMRec's repository gives: interactions with numbers for ids, and vectors in place of titles and images.

`x_label` divides each user's interactions into training, validation and test at random and not by time (they are
shuffled before they are labelled), so that the future would train; it is not read. The vectors are ready features, and
are read without pickles: `towers=features towers.text.file=DIR/text_feat.npy`.
"""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.datasets.base import PublishedFiles
from peftrec.errors import DataError

if TYPE_CHECKING:
    from peftrec.data.datasets.layout import Layout
    from peftrec.data.tables.columns import Columns

ID = "itemID"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MMRec(PublishedFiles):
    """`<dataset>.inter` and `i_id_mapping.csv`, both with tabs, whatever their names say."""

    dataset: str = Field(min_length=1)
    """As the file of interactions is named: baby, ..."""
    text_fields: tuple[str, ...] = ()

    @property
    def ready_features(self) -> str:
        """Name the files of vectors that the repository gives."""
        return (
            f"towers=features towers.text.file={quote(f'{self.root}/text_feat.npy')} "
            f"towers.image.file={quote(f'{self.root}/image_feat.npy')}"
        )

    def layout(self) -> "Layout":
        """Both files have a header line."""
        from peftrec.data.datasets.layout import Layout
        from peftrec.data.readers.delimited import TSV
        from peftrec.data.readers.forms import Delimited

        return Layout(
            interactions={f"{self.dataset}.inter": Delimited(TSV)},
            user="userID",
            item=ID,
            time="timestamp",
            items={"i_id_mapping.csv": Delimited(TSV)},
            item_id=ID,
        )

    def prepared_items(self, root: Path, items: "Columns") -> "Columns":
        """Put item i into row i, where the vectors have it."""
        from peftrec.data.datasets.layout import kept_rows

        rows = {name: row for row, name in enumerate(items.texts(ID))}
        try:
            order = [rows[str(number)] for number in range(len(rows))]
        except KeyError as error:
            raise DataError(
                f"{items.file}: no item {error.args[0]!r} among {len(rows)}: items are numbered from 0 without gaps, "
                "because row i of the vectors belongs to item i"
            ) from error
        return kept_rows(items, order)
