"""Pointers of Git LFS and pages in place of tables, images, features and checkpoints: named as what they are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from peftrec.cold_start.content import SparseMatrix
from peftrec.cold_start.pairs import PairFiles, read_pairs
from peftrec.data.features import FeatureFile
from peftrec.data.images.opening import open_images
from peftrec.data.readers.delimited import CSV, DelimitedFile
from peftrec.data.readers.parquet import read_parquet
from peftrec.data.stand_ins import stand_in
from peftrec.data.tables.lines import read_rows
from peftrec.errors import UserError
from peftrec.series.data import SeriesData, read_split
from peftrec.training.checkpoint import read_checkpoint

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"


def read_matrix(file: Path) -> object:
    (file.parent / "train.csv").write_text("uid,iid\n1,2\n")
    files = PairFiles(
        name="split",
        root=str(file.parent),
        validation="train.csv",
        test="train.csv",
        cold_side="users",
        candidates="warm",
        content=SparseMatrix(file=file.name),
    )
    return files.read()


def read_series(file: Path) -> object:
    name = file.parent.name
    for part in ("TRAIN", "TEST"):
        (file.parent / f"{name}_{part}.ts").write_bytes(file.read_bytes())
    return read_split(SeriesData(name=name, root=str(file.parent.parent)))


READERS: dict[str, Callable[[Path], object]] = {
    "items.tsv": lambda file: read_rows(file, ("item", "title")),
    "items.csv": lambda file: DelimitedFile.open(file, CSV),
    "items.parquet": lambda file: read_parquet(file, []),
    "images.zip": lambda file: open_images(file, None, "data.images"),
    "images.lmdb": lambda file: open_images(file, None, "data.images"),
    "features.npy": lambda file: FeatureFile(path=file, tower="text").states,
    "pairs.csv": read_pairs,
    "content.npz": read_matrix,
    "series.ts": read_series,
    "best.ckpt": read_checkpoint,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (POINTER, "a pointer of Git LFS .*run `git lfs pull` there"),
        ("<!DOCTYPE HTML>\n<html>", "a web page .*fetch it"),
    ],
)
def test_what_stands_in_a_files_place_is_named(name: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=said) as caught:
        READERS[name](tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path))


def test_a_file_itself_is_none(tmp_path: Path) -> None:
    (tmp_path / "items.tsv").write_text("version\thttps://git-lfs.github.com/\n")
    assert stand_in(tmp_path / "items.tsv") is None
    assert stand_in(tmp_path / "nothing") is None
    assert stand_in(tmp_path) == "a folder in place of the file; remove it"
