"""Data sources that break one law each, beside one that keeps them all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.catalogue import Catalogue
from peftrec.data.readers.base import FileSource
from peftrec.data.source import NO_TEXTS
from peftrec.data.synthetic.pictures import RenderedPictures
from peftrec.data.tables.locations import require_file
from peftrec.data.tables.tables import HistoryTable, ItemTable, link_histories


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LawAbidingSource(FileSource):
    """One file: a history a line."""

    def read_tables(self, root: Path) -> tuple[ItemTable, HistoryTable]:
        file = require_file(root, "histories.txt", key="data.root")
        return self.tables(file, file.read_text().splitlines())

    def tables(self, file: Path, histories: list[str]) -> tuple[ItemTable, HistoryTable]:
        ids = tuple(sorted({item for history in histories for item in history.split()}))
        items = ItemTable(file=file, ids=ids, titles=ids, lines=range(1, len(ids) + 1))
        users = [f"u{user}" for user in range(len(histories))]
        return items, link_histories(items, file, users, histories, range(1, len(users) + 1))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReadsInAnyOrder(LawAbidingSource):
    def tables(self, file: Path, histories: list[str]) -> tuple[ItemTable, HistoryTable]:
        return super().tables(file, list(np.random.default_rng().permutation(histories)))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ListsItemsTwice(LawAbidingSource):
    def read(
        self, *, titles: Sequence[str], images: Sequence[str], texts: Mapping[str, Sequence[str]] = NO_TEXTS
    ) -> Catalogue:
        catalogue = super().read(titles=titles, images=images, texts=texts)
        ids = (catalogue.items.ids[1], *catalogue.items.ids[1:])
        return replace(catalogue, items=replace(catalogue.items, ids=ids))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OpensImagesUnasked(LawAbidingSource):
    def read(
        self, *, titles: Sequence[str], images: Sequence[str], texts: Mapping[str, Sequence[str]] = NO_TEXTS
    ) -> Catalogue:
        catalogue = super().read(titles=titles, images=images, texts=texts)
        pixels: Any = np.zeros((len(catalogue.items), 16, 16, 3), dtype=np.uint8)
        return replace(catalogue, items=replace(catalogue.items, images=RenderedPictures(pixels)))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FailsWithoutAMessage(LawAbidingSource):
    def read_tables(self, root: Path) -> tuple[ItemTable, HistoryTable]:
        file = root / "histories.txt"
        return self.tables(file, file.read_text().splitlines())
