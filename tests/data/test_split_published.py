"""The split of real data has the published counts; skipped where the data is not beside the repository."""

import os
from pathlib import Path

import pytest

from peftrec.data.readers.iisan import IisanFiles
from peftrec.data.split import Split, split_catalogue

SHARED = Path(os.path.normpath(Path(__file__).resolve().parents[2] / ".." / "shared" / "data"))


def split_of(name: str, windows: str) -> Split:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the data set {name} is not beside the repository (../shared/data)")
    source = IisanFiles(root=str(SHARED / name), windows=windows)
    return split_catalogue(source.read(titles=["text"], images=[]), source)


def test_amazon_scientific() -> None:
    split = split_of("amazon_scientific", "last")
    assert len(split.test) == len(split.validation) == len(split.windows) == 12_076
    assert len(split.items) == 20_314
    assert split.num_interactions == 81_711
    assert split.test.is_target_in_history().sum() == 621
    cold = split.train_counts[split.test.targets] == 0
    assert cold.mean() == pytest.approx(0.202, abs=5e-4)
    assert split.train_counts.sum() == 81_711 - 2 * 12_076


@pytest.mark.parametrize(("windows", "num_items", "num_interactions"), [("last", 2_440, 7_929), ("all", 3_627, 90_075)])
def test_movielens_posters(windows: str, num_items: int, num_interactions: int) -> None:
    split = split_of("movielens_posters", windows)
    assert len(split.test) == 610
    assert len(split.items) == num_items
    assert split.num_interactions == num_interactions
    transitions = len(split.windows.items) - len(split.windows)
    assert transitions == num_interactions - 3 * 610, "each item of a training part is a target once, but its first"
