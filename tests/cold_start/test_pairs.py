"""Pair files: what is read, and that every mistake names its file and line."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import SHARED
from peftrec.cold_start.content import SparseMatrix, TagsAndCitations
from peftrec.cold_start.pairs import PairFiles, interactions, read_pairs
from peftrec.errors import DataError
from small_pairs import NUM_ITEMS, NUM_USERS, pairs_of, write_split


@pytest.mark.parametrize(
    "text",
    ["uid,iid\n3,7\n0,2\n", "uid,iid\r\n3.0,7.0\r\n0.0,2.0\r\n", "iid,uid\n7,3\n2,0", "uid,iid,note\n3,7,x\n\n0,2,\n"],
)
def test_whole_numbers_are_read_however_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "pairs.csv").write_bytes(text.encode())
    (tmp_path / "packed.csv").write_bytes(gzip.compress(text.encode()))
    for name in ("pairs.csv", "packed.csv"):
        pairs = read_pairs(tmp_path / name)
        assert pairs.users.tolist() == [3, 0]
        assert pairs.items.tolist() == [7, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user,iid\n1,2\n", "pairs.csv:1: no column uid; the header must be uid,iid"),
        ("uid,iid\n1,2\n1,x\n", "pairs.csv:3: iid is 'x'; expected a whole number"),
        ("uid,iid\n1,2\n1.5,2\n", "pairs.csv:3: uid is '1.5'"),
        ("uid,iid\n1,-2\n", "pairs.csv:2: iid is '-2'"),
        ("uid,iid\n1,2\n\n,3\n", "pairs.csv:4: uid is ''"),
        ("uid,iid\n1,nan\n", "pairs.csv:2: iid is 'nan'"),
        ("uid,iid\n1,99999999999\n", "pairs.csv:2: iid is '99999999999'"),
        ("uid,iid\n1,2\n1,2,3\n", "pairs.csv:3: found 3 columns, expected 2 (uid,iid): '1,2,3'"),
        ("uid,iid\n1,2,3\n4,5,6\n", "pairs.csv:1: the first line names 2 columns and the rows below have 3"),
        ("uid,iid\n1,2,3\n", "pairs.csv:2: found 3 columns, expected 2"),
        ("uid,iid\n", "pairs.csv: no rows below the header"),
        ("", "no header line"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_pairs(tmp_path / "pairs.csv")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value).strip()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    files = PairFiles(
        name="x", root=str(tmp_path), cold_side="items", candidates="warm", content=SparseMatrix(file="c")
    )
    for read in (files.content_hash, lambda: read_pairs(tmp_path / "train.csv")):
        with pytest.raises(
            DataError, match=r"train\.csv: cannot be read \(No such file or directory\); set pairs\.root"
        ):
            read()


def test_a_split_is_read(tmp_path: Path) -> None:
    data = write_split(tmp_path).read()
    assert (data.num_users, data.num_items) == (NUM_USERS, NUM_ITEMS)
    assert data.content.shape[0] == NUM_ITEMS
    assert set(data.train.items) <= set(range(60))
    assert data.candidates_of(data.test).tolist() == sorted(set(data.test.items))


def test_cold_users_rank_what_trains(tmp_path: Path) -> None:
    data = write_split(tmp_path, cold_side="users").read()
    assert (data.num_users, data.num_items) == (NUM_ITEMS, NUM_USERS)
    assert data.candidates_of(data.test).tolist() == sorted(set(data.train.items))


def test_an_id_without_content_is_refused(tmp_path: Path) -> None:
    files = write_split(tmp_path)
    with (tmp_path / "test.csv").open("a") as stream:
        stream.write(f"0,{NUM_ITEMS}\n")
    line = len((tmp_path / "test.csv").read_text().splitlines())
    (tmp_path / "test.csv").write_text((tmp_path / "test.csv").read_text().replace("\n", "\n\n", 1))
    line += 1
    with pytest.raises(
        DataError, match=rf"test\.csv:{line}: no content for item {NUM_ITEMS}; content\.npz have 90 rows"
    ):
        files.read()


def test_a_held_out_id_that_trains_is_refused(tmp_path: Path) -> None:
    files = write_split(tmp_path)
    with (tmp_path / "train.csv").open("a") as stream:
        stream.write("0,80\n")
    with pytest.raises(DataError, match=r"test\.csv:\d+: item 80 also has pairs in train\.csv, so it is not cold"):
        files.read()


def test_the_hash_follows_every_byte(tmp_path: Path) -> None:
    files = write_split(tmp_path / "one")
    again = write_split(tmp_path / "two")
    assert files.content_hash() == again.content_hash()
    for name in ("train.csv", "content.npz"):
        path = tmp_path / "two" / name
        path.write_bytes(path.read_bytes() + b"\n")
        assert replace(files, root=str(tmp_path / "two")).content_hash() != files.content_hash()


def test_a_repeated_pair_counts_once() -> None:
    matrix = interactions(pairs_of([(1, 2), (0, 1), (1, 2)]), 2, 3)
    assert torch.equal(matrix.to_dense(), torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))


@pytest.mark.parametrize(
    ("folder", "cold_side", "content", "sizes", "ranked"),
    [
        ("citeulike", "items", TagsAndCitations(num_components=2), (164_210, 13_037, 27_739, 5_551, 16_980), 2_378),
        ("lastfm", "users", SparseMatrix(file="user_content.npz"), (55_810, 9_209, 27_815, 1_892, 17_632), 12_850),
    ],
)
def test_the_published_splits(
    folder: str, cold_side: str, content: object, sizes: tuple[int, ...], ranked: int
) -> None:
    root = SHARED / "data" / folder
    if not root.is_dir():
        pytest.skip(f"{root} is not at hand")
    candidates = "held_out" if cold_side == "items" else "warm"
    data = PairFiles(name=folder, root=str(root), cold_side=cold_side, candidates=candidates, content=content).read()  # type: ignore[arg-type]
    assert (len(data.train), len(data.validation), len(data.test), data.num_users, data.num_items) == sizes
    assert len(data.candidates_of(data.test)) == ranked
    assert np.isfinite(data.content.to_dense().numpy() if data.content.is_sparse else data.content.numpy()).all()
