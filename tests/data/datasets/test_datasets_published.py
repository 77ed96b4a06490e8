"""MovieLens by its name, on real files beside the repository; skipped where they are not."""

import os
from pathlib import Path

import pytest

from peftrec.data.split import split_catalogue
from small_datasets import source_of

FOLDER = Path(os.path.normpath(Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "movielens_posters"))


@pytest.mark.skipif(not FOLDER.is_dir(), reason="movielens_posters is not beside the repository (../shared/data)")
def test_movielens_by_its_name() -> None:
    source = source_of("movielens", FOLDER, {"windows": "all"})
    split = split_catalogue(source.read(titles=["text"], images=[]), source)
    assert (len(split.test), len(split.items), split.num_interactions) == (610, 3_627, 90_075)
    source = source_of("movielens", FOLDER, {"core": "20"})
    catalogue = source.read(titles=["text"], images=[])
    assert catalogue.counts["users_dropped_core"] == 610 - len(catalogue.interactions) == 44
    assert catalogue.interactions.lengths.min() >= 20
