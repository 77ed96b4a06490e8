"""Whatever damaged files hold, reading them gives data or one error that names them, never another exception."""

import io
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mutations import Target, refusals
from peftrec.data.catalogue import Catalogue
from peftrec.data.feature_screening import attach_features
from peftrec.data.features import FeatureFile
from peftrec.data.interactions import Interactions
from peftrec.data.items import Items
from peftrec.data.readers.base import FileSource
from peftrec.data.readers.iisan import IisanFiles
from peftrec.data.readers.recbole import RecBoleFiles
from peftrec.data.readers.table import TableFiles
from small_datasets import OVERRIDES, source_of, write_dataset
from small_pairs import write_split

pytestmark = pytest.mark.integration

QUICK, LONG = 25, 1_250
ALWAYS_SEEN = {"pairs"}
"""Every number of these counts, and every id has to be there."""
NUM_ITEMS = 7
HISTORIES = [[1 + (user + step) % NUM_ITEMS for step in range(6)] for user in range(5)]
ITEMS = pd.DataFrame(
    {"item": [f"i{item}" for item in range(1, 8)], "title": [f'Title "{item}" &amp; é' for item in range(1, 8)]}
)
EVENTS = pd.DataFrame(
    [(f"u{user}", f"i{item}", 10 * time) for user, items in enumerate(HISTORIES) for time, item in enumerate(items)],
    columns=["user", "item", "timestamp"],
)


def pictures() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as images:
        kinds = product(("png", "jpeg", "webp"), (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        for number, (suffix, method) in enumerate(kinds, start=1):
            content = io.BytesIO()
            Image.new("RGB", (4, 4), (number, 90, 9)).save(content, suffix)
            images.writestr(f"images/i{number}.{suffix}", content.getvalue(), method)
        images.writestr("images/i7.jpg", content.getvalue(), zipfile.ZIP_LZMA)
    return stream.getvalue()


def with_policies(source: FileSource, chance: random.Random) -> FileSource:
    policy, short = chance.choice(["error", "drop", "blank"]), chance.choice(["error", "drop"])
    return replace(source, missing_images=policy, corrupt_images=policy, empty_titles=policy, short_histories=short)


def reading(source: FileSource, files: list[Path]) -> Target:
    def read(chance: random.Random) -> None:
        catalogue = with_policies(source, chance).read(
            titles=["text"] * source.has_text, images=["image"] * source.has_images
        )
        assert len(catalogue.interactions) > 0

    return Target(Path(source.root), files, read)


def iisan(root: Path) -> Target:
    (root / "items.tsv").write_text("".join(f"{item}\t{title}\n" for item, title in ITEMS.itertuples(index=False)))
    lines = [f"u{user}\t" + " ".join(f"i{item}" for item in items) for user, items in enumerate(HISTORIES)]
    (root / "users.tsv").write_text("".join(f"{line}\n" for line in lines))
    (root / "images.zip").write_bytes(pictures())
    return reading(IisanFiles(root=str(root), images="images.zip"), files_of(root))


def csv(root: Path) -> Target:
    ITEMS.to_csv(root / "items.csv", index=False)
    EVENTS.to_csv(root / "interactions.csv", index=False)
    return tables(root, ".csv")


def parquet(root: Path) -> Target:
    ITEMS.to_parquet(root / "items.parquet", index=False)
    EVENTS.to_parquet(root / "interactions.parquet", index=False)
    return tables(root, ".parquet")


def tables(root: Path, suffix: str) -> Target:
    names = {"items": f"items{suffix}", "interactions": f"interactions{suffix}"}
    return reading(TableFiles(root=str(root), text_columns=("title",), **names), files_of(root))


def recbole(root: Path) -> Target:
    items, events = ITEMS.copy(), EVENTS.copy()
    items.columns = ["item_id:token", "title:token_seq"]
    events.columns = ["user_id:token", "item_id:token", "timestamp:float"]
    items.to_csv(root / "tiny.item", sep="\t", index=False, quoting=3)
    events.to_csv(root / "tiny.inter", sep="\t", index=False, quoting=3)
    return reading(RecBoleFiles(root=str(root), dataset="tiny"), files_of(root))


def features(root: Path) -> Target:
    np.save(root / "text.npy", np.random.default_rng(0).normal(size=(NUM_ITEMS, 3)).astype(np.float32))
    catalogue = Catalogue(
        items=Items(ids=tuple(ITEMS["item"]), titles=None, images=None),
        interactions=Interactions.from_lists(
            [f"u{user}" for user in range(5)], [[item - 1 for item in items] for items in HISTORIES]
        ),
    )

    def read(chance: random.Random) -> None:
        missing = chance.choice(["error", "zeros", "mean", "drop"])
        file = FeatureFile(path=root / "text.npy", tower="text", missing=missing)
        source = TableFiles(root=str(root), text_columns=())
        assert len(attach_features(catalogue, source, [file]).interactions) > 0

    return Target(root, files_of(root), read)


def pairs(root: Path) -> Target:
    split = write_split(root)
    return Target(root, files_of(root), lambda _: split.read())


def published(name: str) -> Callable[[Path], Target]:
    def write(root: Path) -> Target:
        folder = write_dataset(name, root)
        return reading(source_of(name, folder), files_of(folder))

    return write


def files_of(root: Path) -> list[Path]:
    return sorted(file for file in root.rglob("*") if file.is_file())


TARGETS: dict[str, Callable[[Path], Target]] = {
    **{each.__name__: each for each in (iisan, csv, parquet, recbole, features, pairs)},
    **{name: published(name) for name in OVERRIDES},
}


@pytest.mark.parametrize("rounds", [QUICK, pytest.param(LONG, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_data_or_one_error(name: str, rounds: int, tmp_path: Path) -> None:
    refused = refusals(TARGETS[name](tmp_path), name, rounds)
    assert refused
    assert (len(refused) < rounds) or name in ALWAYS_SEEN, "some damage is only other data"
