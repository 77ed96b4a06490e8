"""Content: reading lists and matrices, and the arithmetic of standardising."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from peftrec.cold_start.content import SparseMatrix, TagsAndCitations, bag_of_ids, read_id_lists, standardise, weigh
from peftrec.errors import DataError, UserError


def test_standardising_leaves_zero_rows_and_cuts() -> None:
    rows = np.random.default_rng(0).normal(3.0, 2.0, size=(200, 3))
    rows[:50] = 0.0
    free = standardise(rows, clip=np.inf)
    assert not free[:50].any()
    np.testing.assert_allclose(free[50:].mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(free[50:].std(axis=0), 1.0, atol=1e-4)
    np.testing.assert_array_equal(standardise(rows, clip=0.5), np.clip(free, -0.5, 0.5))


def test_a_constant_column_becomes_zero() -> None:
    assert not standardise(np.full((4, 2), 7.0), clip=5.0).any()


def test_a_bag_says_which_ids_are_there() -> None:
    matrix = bag_of_ids([[2, 0, 2], [], [1]])
    assert matrix.toarray().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def published_tfidf(counts: Any) -> Any:
    """`tfidf` of the published main_CiteULike.py, step by step."""
    row, col = counts.shape
    binary = counts.copy()
    binary[binary != 0] = 1.0
    tf = (counts + binary).copy()
    tf.data = np.log(tf.data)
    idf = np.log(row / (1 + np.sum(binary, 0)))
    return tf * sparse.spdiags(idf, 0, col, col)


def test_weights_are_the_published_ones() -> None:
    draws = np.random.default_rng(0)
    counts = draws.integers(1, 9, size=(40, 12)) * (draws.random((40, 12)) < draws.random(12) * 0.8)
    counts[3] = 0
    expected = published_tfidf(sparse.csr_matrix(counts.astype(np.float64))).toarray()
    np.testing.assert_allclose(weigh(sparse.csr_matrix(counts)).toarray(), expected, rtol=1e-12)
    lengths = np.linalg.norm(expected, axis=1)
    assert lengths.max() > 1.5 * np.median(lengths)  # so that a matrix of unit rows could not have passed


@pytest.mark.parametrize(
    ("text", "has_count", "message"),
    [
        ("1 2\n3 x\n", False, "list.dat:2: expected ids separated by blanks, got '3 x'"),
        ("2 1 2\n2 1\n", True, "list.dat:2: expected the number of ids and then the ids, got '2 1'"),
        ("0\n\n", True, "list.dat:2: expected the number of ids"),
        ("", False, "list.dat: the file is empty"),
        ("1 é\n", False, "list.dat: expected lines of numbers"),
    ],
)
def test_a_bad_list_is_named(tmp_path: Path, text: str, has_count: bool, message: str) -> None:
    (tmp_path / "list.dat").write_text(text)
    with pytest.raises(DataError, match="list") as caught:
        read_id_lists(tmp_path / "list.dat", has_count=has_count)
    assert message in str(caught.value)


def write_articles(root: Path, *, num_items: int = 30) -> None:
    draws = np.random.default_rng(0)
    tags = [draws.choice(20, size=4, replace=False).tolist() for _ in range(num_items)]
    cited = [draws.choice(num_items, size=draws.integers(0, 3), replace=False).tolist() for _ in range(num_items)]
    (root / "item-tag.dat").write_text("".join(f"{' '.join(map(str, ids))}\n" for ids in tags))
    (root / "citations.dat").write_text("".join(f"{' '.join(map(str, [len(ids), *ids]))}\n" for ids in cited))


def test_articles_keep_the_geometry_of_their_weighted_bags(tmp_path: Path) -> None:
    """With nearly all components, and before columns are scaled, the distances of TF-IDF rows survive."""
    write_articles(tmp_path)
    content = TagsAndCitations(num_components=29).read(tmp_path)
    assert content.shape == (30, 29)
    assert content.dtype == torch.float32
    np.testing.assert_allclose(content.numpy().mean(axis=0), 0.0, atol=1e-5)
    assert torch.equal(content, TagsAndCitations(num_components=29).read(tmp_path))
    assert torch.equal(content[:, :3].sign(), TagsAndCitations(num_components=3).read(tmp_path).sign())


def test_files_of_different_lengths_are_refused(tmp_path: Path) -> None:
    write_articles(tmp_path)
    with (tmp_path / "citations.dat").open("a") as stream:
        stream.write("0\n")
    with pytest.raises(DataError, match=r"citations\.dat: has 31 lines and item-tag\.dat has 30"):
        TagsAndCitations(num_components=3).read(tmp_path)


def test_more_components_than_items_are_refused(tmp_path: Path) -> None:
    write_articles(tmp_path)
    with pytest.raises(DataError, match=r"30 items with \d+ features; set pairs\.content\.num_components"):
        TagsAndCitations().read(tmp_path)


def test_the_extra_is_named_where_sklearn_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_articles(tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.utils.extmath", None)
    with pytest.raises(UserError, match=r"pip install 'peftrec\[cold-start\]'"):
        TagsAndCitations().read(tmp_path)


def test_a_sparse_matrix_is_taken_as_it_is(tmp_path: Path) -> None:
    matrix = sparse.coo_matrix(([1.0, 2.0], ([0, 2], [1, 0])), shape=(3, 2))
    sparse.save_npz(tmp_path / "content.npz", matrix)
    read = SparseMatrix(file="content.npz").read(tmp_path)
    assert read.is_sparse
    np.testing.assert_array_equal(read.to_dense().numpy(), matrix.toarray())


def test_what_is_no_sparse_matrix_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", x=np.ones(3))
    np.savez(tmp_path / "pickled.npz", format=np.asarray([{}], dtype=object))
    (tmp_path / "text.npz").write_text("nothing")
    matrix = sparse.random(30, 20, 0.2, format="csr", random_state=0)
    parts = {"format": "csr", "shape": matrix.shape, "data": matrix.data, "indices": matrix.indices}
    np.savez(tmp_path / "astray.npz", **parts, indptr=matrix.indptr[::-1])  # would be read past the ends of its parts
    np.savez(tmp_path / "form.npz", **parts | {"format": 5}, indptr=matrix.indptr)
    for name in ("plain", "pickled", "text", "astray", "form"):
        with pytest.raises(DataError, match=rf"{name}\.npz: not a matrix of scipy\.sparse\.save_npz"):
            SparseMatrix(file=f"{name}.npz").read(tmp_path)
    with pytest.raises(DataError, match=r"none\.npz: cannot be read"):
        SparseMatrix(file="none.npz").read(tmp_path)
    sparse.save_npz(tmp_path / "nan.npz", sparse.coo_matrix([[np.nan]]))
    with pytest.raises(DataError, match="not a finite number"):
        SparseMatrix(file="nan.npz").read(tmp_path)
    sparse.save_npz(tmp_path / "large.npz", sparse.coo_matrix([[1e300]]))
    with pytest.raises(DataError, match="not a finite number of float32"):
        SparseMatrix(file="large.npz").read(tmp_path)
