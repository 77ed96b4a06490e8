"""Pictures made from ids, and the option that asks for them."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from peftrec.data.images.rendered import RenderedImages
from peftrec.data.items import ImageSource
from peftrec.data.readers.iisan import IisanFiles
from peftrec.errors import DataError

IDS = ("B00A", "B00B", "é")


def test_a_picture_is_a_function_of_the_id_alone() -> None:
    images = RenderedImages(ids=IDS, side=32)
    assert isinstance(images, ImageSource)
    assert len(images) == 3
    pictures = [np.asarray(images.load(item)) for item in range(3)]
    assert {picture.shape for picture in pictures} == {(32, 32, 3)}
    assert not np.array_equal(pictures[0], pictures[1])
    chosen = images.select([2, 0])
    np.testing.assert_array_equal(np.asarray(chosen.load(0)), pictures[2])
    np.testing.assert_array_equal(np.asarray(chosen.load(1)), pictures[0])


def test_pictures_of_the_grid_are_the_bytes_of_the_hash() -> None:
    expected = hashlib.shake_256(b"B00A").digest(3 * 16 * 16)
    assert RenderedImages(ids=IDS, side=16).load(0).tobytes() == expected


def test_the_fingerprint_says_that_they_are_rendered() -> None:
    images = RenderedImages(ids=IDS, side=224)
    assert images.fingerprint().startswith("rendered-224-")
    others = [images.select([0, 1]), images.select([1, 0, 2]), RenderedImages(ids=IDS, side=64)]
    assert len({images.fingerprint(), *(other.fingerprint() for other in others)}) == 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "items.tsv").write_text("".join(f"i{n}\tTitle\n" for n in range(6)))
    (tmp_path / "users.tsv").write_text("u\ti0 i1 i2 i3 i4 i5\n")
    return tmp_path


def test_data_without_images_gets_them_where_a_tower_needs_them(root: Path) -> None:
    source = IisanFiles(root=str(root), rendered_images=48)
    catalogue = source.read(titles=["text"], images=["image"])
    assert catalogue.items.images is not None
    assert catalogue.items.images.load(5).size == (48, 48)
    assert catalogue.counts == {}
    assert source.read(titles=["text"], images=[]).items.images is None


def test_without_any_the_message_names_the_way_to_measure_cost(root: Path) -> None:
    with pytest.raises(DataError, match=r"to measure cost, data\.rendered_images=224"):
        IisanFiles(root=str(root)).read(titles=["text"], images=["image"])


def test_rendered_and_real_images_exclude_each_other(root: Path) -> None:
    with pytest.raises(ValidationError, match="images and rendered_images exclude each other"):
        IisanFiles(root=str(root), images="images.zip", rendered_images=48)
    for side in (8, 5000):
        with pytest.raises(ValidationError, match="rendered_images"):
            IisanFiles(root=str(root), rendered_images=side)
