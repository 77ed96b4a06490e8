"""The Yelp Open Dataset: reviews of businesses, and photographs that have names of their own.

The picture of a business is its first photograph in `photos.json`, of the labels that are asked for.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from peftrec.config.roles import Place
from peftrec.config.strict import STRICT
from peftrec.data.datasets.base import PICTURE, PublishedFiles

if TYPE_CHECKING:
    from peftrec.data.datasets.layout import Layout
    from peftrec.data.tables.columns import Columns

ID = "business_id"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Yelp(PublishedFiles):
    """`yelp_academic_dataset_review.json` and `..._business.json`; `photos.json` and a folder of photographs."""

    text_fields: tuple[str, ...] = ("name", "categories")
    photos: Place[str] = "photos.json"
    """Says which photograph shows which business; read where `images` is set."""
    photo_labels: tuple[str, ...] = ()
    """Take photographs with these labels alone (`food`, `inside`, ...); empty for any."""

    def layout(self) -> "Layout":
        """Both files hold one JSON object a line."""
        from peftrec.data.datasets.layout import Layout
        from peftrec.data.readers.forms import JsonLines, Objects
        from peftrec.data.readers.object_lines import parse_json

        return Layout(
            interactions={"yelp_academic_dataset_review.json": JsonLines()},
            user="user_id",
            item=ID,
            time="date",
            items={"yelp_academic_dataset_business.json": Objects(parse_json)},
            item_id=ID,
        )

    def prepared_items(self, root: Path, items: "Columns") -> "Columns":
        """Say which photograph is the picture of each business."""
        from peftrec.data.datasets.layout import with_texts
        from peftrec.data.readers.json_lines import read_json_lines
        from peftrec.data.tables.columns import Wanted
        from peftrec.data.tables.locations import require_file

        if self.images is None:
            return items
        file = require_file(root, self.photos, key="data.photos")
        names = (ID, "photo_id", "label")
        photos = read_json_lines(file, [Wanted("data.photos", name) for name in names])
        first: dict[str, str] = {}
        for business, photo, label in zip(*(photos.texts(name) for name in names), strict=True):
            if not self.photo_labels or label in self.photo_labels:
                first.setdefault(business, f"{self.images}/{photo}.jpg")
        return with_texts(items, PICTURE, [first.get(business, "") for business in items.texts(ID)])
