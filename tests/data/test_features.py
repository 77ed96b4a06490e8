"""Ready features: read by item, checked against the items, and their policies."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peftrec.data import features
from peftrec.data.catalogue import Catalogue
from peftrec.data.content import ItemContent
from peftrec.data.feature_screening import attach_features
from peftrec.data.features import FeatureFile, FeatureRows
from peftrec.data.fingerprint import content_hashes
from peftrec.data.interactions import Interactions
from peftrec.data.items import Items
from peftrec.data.readers.table import TableFiles
from peftrec.errors import DataError

NUM_ITEMS = 8
HISTORIES = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [5, 5, 5, 5, 1, 1]]
"""Nobody took 6 and 7."""


def values(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def save(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "text.npy", array)
    return folder / "text.npy"


def catalogue() -> Catalogue:
    return Catalogue(
        items=Items(ids=tuple(f"i{item}" for item in range(NUM_ITEMS)), titles=None, images=None),
        interactions=Interactions.from_lists(["a", "b", "c"], HISTORIES),
    )


def attached(folder: Path, array: np.ndarray, missing: str = "error", **fields: Any) -> Catalogue:
    file = FeatureFile(path=save(folder, array), tower="text", missing=missing)
    return attach_features(catalogue(), TableFiles(root="unread", **fields), [file])


def rows_of(found: Catalogue) -> FeatureRows:
    return found.items.features["text"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("shape", [(NUM_ITEMS, 3), (NUM_ITEMS, 4, 3)])
def test_a_batch_holds_the_rows_of_its_items(tmp_path: Path, shape: tuple[int, ...], dtype: Any) -> None:
    array = values(*shape, dtype=dtype)
    items = attached(tmp_path, array).items.select(np.array([5, 0, 2, 1]))
    batch = ItemContent(by_tower=items.features).batch(np.array([3, 1, 0]))
    assert batch.items.tolist() == [3, 1, 0]
    assert list(batch.contents) == ["text"]
    found = batch.content("text").states
    assert found.dtype == torch.from_numpy(array).dtype
    np.testing.assert_array_equal(found.numpy(), array.reshape(NUM_ITEMS, -1, 3)[[1, 0, 5]])


def test_a_worker_maps_the_file_itself(tmp_path: Path) -> None:
    array = values(NUM_ITEMS, 2, 300)
    rows = rows_of(attached(tmp_path, array))
    assert isinstance(rows.file.states, np.memmap)
    sent = pickle.dumps(rows)
    assert len(sent) < array.nbytes / 5, "the mapping went along"
    np.testing.assert_array_equal(pickle.loads(sent).batch(np.array([2])).states.numpy(), array[[2]])


def with_faults(*rows: int, value: float = np.nan) -> np.ndarray:
    array = values(NUM_ITEMS, 2, 3)
    array[list(rows), 1, 0] = value
    return array


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_named(tmp_path: Path, value: float) -> None:
    with pytest.raises(DataError) as caught:
        attached(tmp_path, with_faults(2, 5, value=value))
    assert str(caught.value).startswith(
        f"{tmp_path}/text.npy: 2 rows, counted from 0, are not finite: row 2 of item 'i2', row 5 of item 'i5'; mend "
        "them, or set towers.text.missing=zero or mean"
    )


def test_rows_that_nobody_took_are_not_looked_at(tmp_path: Path) -> None:
    assert attached(tmp_path, with_faults(6, 7)).counts == {}


def test_missing_rows_are_filled_in(tmp_path: Path) -> None:
    array = with_faults(2, 5, 7)
    zeros = attached(tmp_path, array, "zero")
    assert zeros.counts == {"text_features_set_to_zero": 2}
    np.testing.assert_array_equal(rows_of(zeros).batch(np.array([5, 1])).states.numpy(), [np.zeros((2, 3)), array[1]])
    means = attached(tmp_path, array, "mean")
    assert means.counts == {"text_features_set_to_mean": 2}
    found = rows_of(means).batch(np.array([2, 3])).states.numpy()
    np.testing.assert_allclose(found, [array[[0, 1, 3, 4]].mean(axis=0), array[3]], rtol=1e-6)
    assert attached(tmp_path, values(NUM_ITEMS, 3), "mean").counts == {"text_features_set_to_mean": 0}


def test_items_without_features_are_dropped_and_short_users_with_them(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        attached(tmp_path, with_faults(5), "drop")
    assert "without the 1 items whose features are missing, 1 of 3 users have fewer than 5 items" in str(caught.value)
    assert "user 'c' has 2" in str(caught.value)
    dropped = attached(tmp_path, with_faults(5), "drop", short_histories="drop")
    assert dropped.counts == {"items_dropped_missing_text_features": 1, "users_dropped_short_history": 1}
    assert dropped.interactions.users == ("a", "b")
    assert [history.tolist() for history in dropped.interactions] == HISTORIES[:2]
    with pytest.raises(DataError, match="3 of 3 users have fewer"):
        attached(tmp_path, with_faults(1, 5), "drop", short_histories="drop")


def test_files_that_are_larger_than_a_block_are_read_in_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = with_faults(4)
    whole = attached(tmp_path, array, "mean")
    monkeypatch.setattr(features, "BLOCK_BYTES", 2 * array[0].nbytes)
    parts = attached(tmp_path, array, "mean")
    assert parts.counts == whole.counts
    assert content_hashes(parts.items) == content_hashes(whole.items)
    np.testing.assert_array_equal(rows_of(parts).replacement, rows_of(whole).replacement)


def test_the_hash_follows_the_rows_of_the_items(tmp_path: Path) -> None:
    array = values(NUM_ITEMS, 3)
    chosen = np.array([0, 1, 2])

    def hash_of(array: np.ndarray, items: np.ndarray = chosen, missing: str = "zero") -> str:
        return content_hashes(attached(tmp_path, array, missing).items.select(items))["text"]

    base = hash_of(array)
    elsewhere = array.copy()
    elsewhere[6] += 1
    assert hash_of(elsewhere) == base
    changed = array.copy()
    changed[1, 2] += 1e-3
    missing = array.copy()
    missing[1] = np.nan
    hashes = {
        base,
        hash_of(changed),
        hash_of(array, chosen[::-1]),
        hash_of(array.astype(np.float16)),
        hash_of(array[:, None].repeat(2, axis=1)),
        hash_of(missing),
        hash_of(missing, missing="mean"),
    }
    assert len(hashes) == 7


def archive() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=values(NUM_ITEMS, 3))
    return stream.getvalue()


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{}] * NUM_ITEMS), allow_pickle=True)
    return stream.getvalue()


OBJECTS = (
    r"cannot be read as \.npy \(Python objects, or no \.npy at all\): save one array of numbers by "
    r"np\.save\(FILE, np\.stack\(rows\)\.astype\(np\.float32\)\), or correct towers\.text\.file$"
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, r"text\.npy: cannot be read as \.npy .*: correct towers\.text\.file"),
        (b"", r"cannot be read as \.npy"),
        (b"not an array at all", OBJECTS),
        (pickled(), OBJECTS),
        (pickle.dumps([1.0]), OBJECTS),
        (archive(), "an archive of several arrays"),
        (values(NUM_ITEMS, 3, dtype=np.float64), r"holds float64, not float16 or float32: convert it with astype"),
        (values(NUM_ITEMS, 3).astype(">f4"), r"holds >f4, not float16"),
        (values(NUM_ITEMS), r"has shape \(8,\), not \[items, dim\]"),
        (values(NUM_ITEMS, 2, 2, 3), r"has shape \(8, 2, 2, 3\)"),
        (values(NUM_ITEMS, 0), r"has shape \(8, 0\)"),
        (values(NUM_ITEMS - 1, 3), r"text\.npy: 7 rows for 8 items: row r must belong to row r of the items' file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: Any, expected: str) -> None:
    path = tmp_path / "text.npy"
    if isinstance(content, np.ndarray):
        save(tmp_path, content)
    elif content is not None:
        path.write_bytes(content)
    file = FeatureFile(path=path, tower="text")
    with pytest.raises(DataError, match=expected):
        attach_features(catalogue(), TableFiles(root="unread"), [file])


@pytest.mark.parametrize(("value", "said"), [(0.0, "zeros"), (0.5, "the same")])
def test_features_that_tell_no_item_from_another_are_refused(tmp_path: Path, value: float, said: str) -> None:
    array = np.full((NUM_ITEMS, 2, 3), value, dtype=np.float32)
    array[6:] = 7  # which nobody took
    with pytest.raises(DataError, match=rf"rows of all 6 items in histories are {said}.*set towers\.text=null"):
        attached(tmp_path, array)
    array[2] = np.nan
    with pytest.raises(DataError, match=f"are {said}"):
        attached(tmp_path, array, "zero")


def test_features_of_zeros_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = values(NUM_ITEMS, 3)
    assert attached(tmp_path, array).counts == {}
    array[[1, 4, 7]] = 0
    monkeypatch.setattr(features, "BLOCK_BYTES", 24)
    assert attached(tmp_path, array).counts == {"text_features_of_zeros": 2}
