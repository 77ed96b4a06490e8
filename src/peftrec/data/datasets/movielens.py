"""MovieLens (TiiS 2015), the CSV files of ml-latest, ml-20m and later, and the `::` files of ml-1m and ml-10M.

Many ratings of a user have the same second, because a page of films was rated at once: they stay as the file has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.datasets.base import PublishedFiles
from peftrec.errors import DataError

if TYPE_CHECKING:
    from peftrec.data.datasets.layout import Edition, Layout
    from peftrec.data.tables.columns import Columns, Wanted


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MovieLens(PublishedFiles):
    """`ratings.csv` and `movies.csv`, or `ratings.dat` and `movies.dat`. Posters are not published."""

    edition: Literal["latest-small", "1m"] | None = None
    """Null where the counts are not to be compared with those that the authors give."""

    def layout(self) -> "Layout":
        """The `.dat` files have no header line."""
        from peftrec.data.datasets.layout import Layout
        from peftrec.data.readers.delimited import CSV
        from peftrec.data.readers.forms import Delimited

        return Layout(
            interactions={
                "ratings.csv": Delimited(CSV),
                "ratings.dat": DoubleColons(columns=("userId", "movieId", "rating", "timestamp")),
            },
            user="userId",
            item="movieId",
            time="timestamp",
            items={"movies.csv": Delimited(CSV), "movies.dat": DoubleColons(columns=("movieId", "title", "genres"))},
            item_id="movieId",
        )

    def published_edition(self) -> "Edition | None":
        """As the README files of the editions say."""
        from peftrec.data.datasets.layout import Edition

        editions = {
            "latest-small": Edition(interactions=100_836, users=610),
            "1m": Edition(interactions=1_000_209, users=6_040),
        }
        return editions.get(self.edition or "")


@plain_dataclass(frozen=True, kw_only=True)
class DoubleColons:
    """Columns between `::`, without header line and quoting; Latin-1 where it is not UTF-8."""

    columns: tuple[str, ...]

    def read(self, file: Path, wanted: "Sequence[Wanted]") -> "Columns":
        """Read the wanted columns as text."""
        from peftrec.data.readers.delimited import TSV, DelimitedFile

        content = DelimitedFile.open(file, TSV).content
        if b"\t" in content:
            line = content.count(b"\n", 0, content.index(b"\t")) + 1
            raise DataError(f"{file}:{line}: holds a tab; the published file has columns between :: and no tab")
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            content = content.decode("latin-1").encode()
        content = content.replace(b"::", b"\t")
        return DelimitedFile(file=file, dialect=TSV, content=content, columns=self.columns).read(wanted)
