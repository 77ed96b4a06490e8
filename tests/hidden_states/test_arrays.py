"""Arrays are plain .npy files of which single rows are written and read."""

import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from peftrec.hidden_states.arrays import ArrayRows, create_array, read_header

SHAPE = (11, 3, 4)


def numbers(dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).standard_normal(SHAPE).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_an_array_is_what_numpy_writes(tmp_path: Path, dtype: str) -> None:
    create_array(tmp_path / "ours.npy", SHAPE, dtype)
    np.save(tmp_path / "numpys.npy", np.zeros(SHAPE, dtype))
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpys.npy").read_bytes()
    rows = ArrayRows.for_writing(tmp_path / "ours.npy")
    order = np.random.default_rng(1).permutation(SHAPE[0])
    for items in np.array_split(order, 4):
        rows.write(items, numbers(dtype)[items])
    rows.flush()
    rows.close()
    np.save(tmp_path / "numpys.npy", numbers(dtype))
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpys.npy").read_bytes()


def test_the_space_is_taken_at_once(tmp_path: Path) -> None:
    create_array(tmp_path / "array.npy", (1000, 7, 64), "float32")
    found = (tmp_path / "array.npy").stat()
    assert found.st_size == 128 + 1000 * 7 * 64 * 4
    assert found.st_blocks * 512 >= found.st_size


@pytest.mark.parametrize("refusal", [errno.EOPNOTSUPP, errno.EINVAL])
def test_where_a_file_system_cannot_allocate_zeros_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def refuse(*arguments: int) -> None:
        raise OSError(refusal, "no")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    create_array(tmp_path / "array.npy", SHAPE, "float32")
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), np.zeros(SHAPE, np.float32))


def test_an_array_of_no_items_is_one(tmp_path: Path) -> None:
    create_array(tmp_path / "array.npy", (0, 3, 4), "float32")
    assert read_header(tmp_path / "array.npy").shape == (0, 3, 4)


@pytest.mark.parametrize("items", [[0], [5, 5, 1], [3, 0, 4, 10, 2], list(range(11))])
def test_rows_are_read_state_by_state(tmp_path: Path, items: list[int]) -> None:
    np.save(tmp_path / "array.npy", numbers())
    rows = ArrayRows.for_reading(tmp_path / "array.npy")
    out = np.empty((3, len(items), 4), np.float32)
    rows.read_into(out, np.array(items))
    np.testing.assert_array_equal(out, numbers()[items].swapaxes(0, 1))
    everything = np.empty(SHAPE, np.float32)
    rows.read_all_into(everything)
    np.testing.assert_array_equal(everything, numbers())


def test_a_file_that_is_cut_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", numbers())
    rows = ArrayRows.for_reading(tmp_path / "array.npy")
    os.truncate(tmp_path / "array.npy", 300)
    with pytest.raises(OSError, match="cut off"):
        rows.read_into(np.empty((3, 1, 4), np.float32), np.array([9]))
    with pytest.raises(OSError, match="cut off"):
        rows.read_all_into(np.empty(SHAPE, np.float32))


def test_a_copy_in_another_process_opens_the_file_itself(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", numbers())
    rows = ArrayRows.for_reading(tmp_path / "array.npy")
    copy = pickle.loads(pickle.dumps(rows))
    assert copy.handle != rows.handle
    out = np.empty(SHAPE, np.float32)
    copy.read_all_into(out)
    np.testing.assert_array_equal(out, numbers())


def test_other_files_are_no_arrays(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no array")
    np.save(tmp_path / "fortran.npy", np.asfortranarray(numbers()))
    for name in ("text", "fortran.npy"):
        with pytest.raises(ValueError, match=r"magic|Fortran"):
            read_header(tmp_path / name)
