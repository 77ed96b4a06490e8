"""What readers of files share: where the files lie, and the policies."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.fields import Later
from peftrec.config.roles import Place
from peftrec.config.strict import STRICT
from peftrec.data.choices import MAX_IMAGE_PIXELS, Orientation, Policy
from peftrec.data.source import NO_TEXTS, DataSource
from peftrec.errors import DataError

if TYPE_CHECKING:
    from peftrec.data.catalogue import Catalogue
    from peftrec.data.images.decoding import Decoding
    from peftrec.data.tables.tables import HistoryTable, ItemTable


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FileSource(DataSource):
    """A folder of files. A reader of another format implements `read_tables`; the checks are the same for all.

    Content is checked for the items that occur in a history, all others are never candidates, and only in the
    modalities asked for.
    """

    root: Place[str] = Field(min_length=1)
    """Folder that holds the files."""

    images: Place[str | None] = None
    """Folder, zip or LMDB below `root` with one image per item, named by the item's id; null for data without
    images."""

    rendered_images: int | None = Field(default=None, ge=16, le=1024)
    """In place of `images`, random pictures of so many pixels a side: to measure cost, never quality."""

    core: int | None = Field(default=None, ge=2)
    """Keep the users and items with at least so many interactions among each other (the k-core), before content is
    checked; null keeps all."""

    missing_images: Policy = "error"
    """An item without an image file: an error, dropped from all histories, or given a grey image."""

    corrupt_images: Policy = "error"
    """An item whose image cannot be decoded: an error, dropped from all histories, or given a grey image."""

    max_image_pixels: Place[int] = Field(default=MAX_IMAGE_PIXELS, ge=1)
    """Width times height of the largest image that is decoded; a larger one counts as corrupt. What an image declares
    is compared, before any memory is taken for it."""

    orientation: Orientation = "exif"
    """Whether images are turned as their cameras noted (`exif`; phones note it in place of turning pixels), or taken as
    they lie in the file (`file`), as the published code does."""

    empty_titles: Policy = "error"
    """An item without a title: an error, dropped from all histories, or kept with an empty text."""

    empty_texts: Annotated[Policy, Later()] = "error"
    """The same for an item without a further text that a tower reads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images is not None and self.rendered_images is not None:
            raise ValueError("images and rendered_images exclude each other; set one of them to null")

    @abstractmethod
    def read_tables(self, root: Path) -> "tuple[ItemTable, HistoryTable]":
        """Read and number items and histories; no policy is applied yet."""

    @property
    def has_images(self) -> bool:
        """Say whether the configuration names images."""
        return self.images is not None or self.rendered_images is not None

    @property
    def has_text(self) -> bool:
        """Say whether the configuration names text."""
        return True

    @property
    def text_key(self) -> str:
        """Return the key that names fields of text."""
        return "data.text_fields"

    @property
    def keeps_empty_texts(self) -> bool:
        """Say whether an item without a further text is kept, with an empty one."""
        return self.empty_texts == "blank"

    def decoding(self) -> "Decoding":
        """Return how image files become images."""
        from peftrec.data.images.decoding import Decoding

        return Decoding(max_pixels=self.max_image_pixels, orientation=self.orientation)

    def read(
        self, *, titles: Sequence[str], images: Sequence[str], texts: Mapping[str, Sequence[str]] = NO_TEXTS
    ) -> "Catalogue":
        """Read the tables, and check the content of their items."""
        from peftrec.data.readers.screening import FileContent
        from peftrec.data.tables.core import in_core
        from peftrec.data.tables.locations import require_folder

        root = require_folder(self.root, key="data.root")
        self._require_content(root, titles=() if self.has_text else titles, images=() if self.has_images else images)
        items, histories = self.read_tables(root)
        if self.core is not None:
            histories = in_core(histories, self.core)
        content = FileContent(
            source=self,
            root=root,
            items=items,
            histories=histories,
            images=self.images,
            rendered_images=self.rendered_images,
            missing_images=self.missing_images,
            corrupt_images=self.corrupt_images,
            decoding=self.decoding(),
            empty_titles=self.empty_titles,
            empty_texts=self.empty_texts,
        )
        return content.catalogue(titles=titles, images=images, texts=texts)

    @property
    def ready_features(self) -> str:
        """Say how files of vectors are read in place of titles and images."""
        return "towers=features towers.text.file=FILE.npy towers.image.file=FILE.npy"

    def _require_content(self, root: Path, *, titles: Sequence[str], images: Sequence[str]) -> None:
        """Refuse towers of content that the configuration does not name: `titles` and `images` are theirs. Where both
        lack theirs it is said at once, with what helps both."""
        from peftrec.data.tables.policies import towers_need, without_towers

        text = f"{towers_need(titles)} text and the data names no field"
        pictures = f"{towers_need(images)} images and the data names none"
        add_images = "set data.images=<folder, zip or LMDB below data.root>"
        if titles and images:
            raise DataError(
                f"{root}: {text}, and {pictures}: for vectors in place of both add {self.ready_features}; for ids "
                f"alone add strategy=id {without_towers([*titles, *images])}; else name columns of text by "
                f"{self.text_key}='[COLUMN]', and {add_images}"
            )
        if titles:
            raise DataError(f"{root}: {text}: set {self.text_key}='[COLUMN]' or {without_towers(titles)}")
        if images:
            raise DataError(
                f"{root}: {pictures}: {add_images}, or {without_towers(images)}; to measure cost, "
                "data.rendered_images=224"
            )
