"""Missing and corrupt images in every kind of store: the same counts, the same items, messages with the place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peftrec.data.catalogue import Catalogue
from peftrec.data.images.decoding import BLANK_COLOUR
from peftrec.data.readers.iisan import IisanFiles
from peftrec.errors import DataError
from small_images import encoded, pack, replace_value, write_folder, write_published, write_zip

ITEMS = [f"i{number}" for number in range(8)]
MISSING, CORRUPT = "i1", "i2"
PRESENT = [item for item in ITEMS if item != MISSING]


def good() -> dict[str, bytes]:
    return {f"{item}.png": encoded(seed) for seed, item in enumerate(PRESENT)}


def in_folder(root: Path) -> str:
    write_folder(root / "images", good() | {f"{CORRUPT}.png": b"broken"})
    return f"{root}/images/{CORRUPT}.png"


def in_zip(root: Path) -> str:
    path = write_zip(root / "images", good())
    content = bytearray(path.read_bytes())
    content[content.index(good()[f"{CORRUPT}.png"]) + 20] ^= 1
    path.write_bytes(content)
    return f"{path}:some/folder/{CORRUPT}.png"


def in_lmdb(root: Path) -> str:
    path = pack(write_zip(root / "good.zip", good()), root / "images.lmdb")
    replace_value(path, CORRUPT, b"broken")
    return f"{path}:{CORRUPT}"


def in_published_lmdb(root: Path) -> str:
    path = write_published(root / "images.lmdb", {item: np.zeros((4, 4, 3), dtype=np.uint8) for item in PRESENT})
    replace_value(path, CORRUPT, b"broken")
    return f"{path}:{CORRUPT}"


@pytest.fixture(params=[in_folder, in_zip, in_lmdb, in_published_lmdb], ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    return request.param


def read(root: Path, **fields: Any) -> Catalogue:
    (root / "items.tsv").write_text("".join(f"{item}\tTitle\n" for item in ITEMS))
    (root / "users.tsv").write_text(f"u1\t{' '.join(ITEMS)}\nu2\t{' '.join(ITEMS[::-1])}\n")
    name = "images.lmdb" if (root / "images.lmdb").exists() else "images"
    return IisanFiles(root=str(root), images=name, **fields).read(titles=[], images=["image"])


def test_both_are_errors_that_name_the_place(tmp_path: Path, make: Callable[[Path], str]) -> None:
    place = make(tmp_path)
    with pytest.raises(DataError, match=rf"1 of 8 items without an image: item '{MISSING}' at .*{MISSING}"):
        read(tmp_path)
    with pytest.raises(DataError, match="1 of 8 items with a corrupt image") as caught:
        read(tmp_path, missing_images="blank")
    assert f"item '{CORRUPT}' at {place}: " in str(caught.value)


def test_both_are_blanked_and_counted(tmp_path: Path, make: Callable[[Path], str]) -> None:
    make(tmp_path)
    catalogue = read(tmp_path, missing_images="blank", corrupt_images="blank")
    assert catalogue.counts == {"images_blanked_missing": 1, "images_blanked_corrupt": 1}
    assert catalogue.items.images is not None
    for item in (MISSING, CORRUPT):
        assert catalogue.items.images.load(ITEMS.index(item)).getpixel((0, 0)) == BLANK_COLOUR


def test_both_are_dropped_and_counted(tmp_path: Path, make: Callable[[Path], str]) -> None:
    make(tmp_path)
    catalogue = read(tmp_path, missing_images="drop", corrupt_images="drop")
    assert catalogue.counts["items_dropped_missing_image"] == 1
    assert catalogue.counts["items_dropped_corrupt_image"] == 1
    kept = {ITEMS[item] for history in catalogue.interactions for item in history}
    assert kept == set(ITEMS) - {MISSING, CORRUPT}
