"""The published layout on real data, beside the repository; skipped where it is not."""

import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from peftrec.data.images.stored import StoredImages
from peftrec.data.readers.iisan import IisanFiles

SHARED = Path(os.path.normpath(Path(__file__).resolve().parents[3] / ".." / "shared" / "data"))


def folder(name: str) -> str:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the data set {name} is not beside the repository (../shared/data)")
    return str(SHARED / name)


class Decoded(Dataset):
    def __init__(self, source: StoredImages) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, item: int) -> np.ndarray:
        return np.array(self.source.load(item))


def test_amazon_scientific_has_the_published_counts() -> None:
    source = IisanFiles(root=folder("amazon_scientific"))
    start = time.process_time()
    catalogue = source.read(titles=["text"], images=[])
    assert time.process_time() - start < 3, "0.15 seconds on two cores"
    assert len(catalogue.interactions) == 12_076
    assert len(catalogue.items) == 20_825
    assert len(catalogue.interactions.items) == 85_211
    assert np.diff(catalogue.interactions.offsets).min() == 5
    assert catalogue.items.images is None
    assert catalogue.items.titles is not None
    assert not any("&amp;" in title or "  " in title for title in catalogue.items.titles)
    assert "Data Hold & Error Code" in catalogue.items.titles[0]


def test_movielens_posters_are_whole_and_the_same_in_loader_workers() -> None:
    source = IisanFiles(root=folder("movielens_posters"), images="images.zip", windows="all")
    catalogue = source.read(titles=["text"], images=["image"])
    assert len(catalogue.interactions) == 610
    assert len(catalogue.items) == 3_627
    assert len(catalogue.interactions.items) == 90_075
    assert catalogue.items.titles is not None
    assert catalogue.items.titles[0] == "Toy Story (1995)"

    images = catalogue.items.images
    assert isinstance(images, StoredImages)
    assert images.load(0).width == 96
    again = pickle.loads(pickle.dumps(images))
    assert again.fingerprint() == images.fingerprint()
    some = images.select(range(0, len(images), 50))
    loader = DataLoader(Decoded(some), batch_size=None, num_workers=2, multiprocessing_context="fork")
    for item, pixels in enumerate(loader):
        np.testing.assert_array_equal(pixels, np.asarray(some.load(item)))
