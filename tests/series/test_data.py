"""Series read from the archive's text format: the real JapaneseVowels, small ones by hand, and what is refused."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peftrec.errors import DataError
from peftrec.series.data import SeriesSplit, read_split
from peftrec.series.settings import SeriesData

HEADER = """@problemName Tiny
@timeStamps false
@missing false
@univariate false
@dimension 2
@equalLength {is_equal}
@classLabel true red blue
@data
"""
TRAIN = ["1,2,3:4,5,6:red", "7,8:9,10:blue"]
TEST = ["1:2:blue"]


def write(folder: Path, train: list[str], test: list[str], header: str = HEADER, is_equal: str = "false") -> SeriesData:
    (folder / "Tiny").mkdir()
    for part, lines in (("TRAIN", train), ("TEST", test)):
        text = header.format(is_equal=is_equal) + "\n".join(lines) + "\n"
        (folder / "Tiny" / f"Tiny_{part}.ts").write_text(text)
    return SeriesData(name="Tiny", root=str(folder))


@pytest.fixture(scope="module")
def japanese_vowels() -> SeriesSplit:
    pytest.importorskip("aeon", reason="aeon is not installed")
    return read_split(SeriesData())


def test_the_sizes_are_those_of_the_paper(japanese_vowels: SeriesSplit) -> None:
    assert japanese_vowels.training.values.shape == (270, 29, 12)
    assert japanese_vowels.test.values.shape == (370, 29, 12)
    assert len(japanese_vowels.classes) == 9
    assert torch.bincount(japanese_vowels.training.labels).tolist() == [30] * 9


def test_series_stand_at_the_start_and_zeros_after_them(japanese_vowels: SeriesSplit) -> None:
    from aeon.datasets import load_classification

    series, labels = load_classification("JapaneseVowels", split="test")
    for values, label, expected, name in zip(
        japanese_vowels.test.values, japanese_vowels.test.labels, series, labels, strict=True
    ):
        length = expected.shape[1]
        np.testing.assert_allclose(values[:length].numpy(), expected.T, rtol=1e-6)
        assert not values[length:].any()
        assert japanese_vowels.classes[label] == name


def test_small_series_by_hand(tmp_path: Path) -> None:
    split = read_split(write(tmp_path, TRAIN, TEST))
    assert split.classes == ("blue", "red")
    assert split.training.values.tolist() == [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10], [0, 0]]]
    assert split.training.labels.tolist() == [1, 0]
    assert split.test.values.tolist() == [[[1, 2], [0, 0], [0, 0]]]


def test_series_of_equal_length_are_read_as_well(tmp_path: Path) -> None:
    split = read_split(write(tmp_path, ["1,2:3,4:red", "5,6:7,8:blue"], ["1,2:3,4:red"], is_equal="true"))
    assert split.training.values.tolist() == [[[1, 3], [2, 4]], [[5, 7], [6, 8]]]


def test_the_hash_is_that_of_the_files(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    hashes = [
        read_split(write(folder, TRAIN, test)).data_hash
        for folder, test in zip(folders, (TEST, TEST, ["9:9:red"]), strict=True)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (TRAIN, ["1:2:green"], r"Tiny_TEST\.ts"),
        (TRAIN, ["?,1:2,3:red"], r"Tiny_TEST\.ts: series 1 has missing or infinite values"),
        (TRAIN, ["1:2:3:red"], r"Tiny_TEST\.ts"),
        (["1,x:2,3:red"], TEST, r"Tiny_TRAIN\.ts"),
        (["1,2:3,4:red"], TEST, r"Tiny_TEST\.ts: class blue does not occur in Tiny_TRAIN\.ts"),
        ([], TEST, r"Tiny_TRAIN\.ts: it holds no series"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, train: list[str], test: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_split(write(tmp_path, train, test))


def test_series_without_classes_are_refused(tmp_path: Path) -> None:
    header = HEADER.replace("@classLabel true red blue", "@targetLabel true")
    with pytest.raises(DataError, match="has no class labels"):
        read_split(write(tmp_path, ["1,2:3,4:0.5"], ["1,2:3,4:0.5"], header=header))


@pytest.mark.parametrize("root", ["given", "aeon"])
def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path, root: str) -> None:
    data = SeriesData(name="Nowhere", root=str(tmp_path) if root == "given" else None)
    with pytest.raises(DataError, match=r"Nowhere_TRAIN\.ts: not found; set data\.root to a folder that holds"):
        read_split(data)


def test_without_aeon_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("aeon"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(DataError, match=r"peftrec\[series\]"):
        read_split(SeriesData())
