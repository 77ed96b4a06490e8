"""What is damaged is found: everywhere by a whole check, where it is read by a sampled one."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peftrec.errors import StoreError
from peftrec.hidden_states.manifest import ArrayFile, read_manifest
from peftrec.hidden_states.paths import array_path
from peftrec.hidden_states.store import open_store
from peftrec.hidden_states.verification import SAMPLE_BLOCKS, blocks_to_read, find_problems
from small_stores import OPTIONS, build, key_of

BLOCK = 64


@pytest.fixture(scope="module")
def built_of_many_blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose arrays have more blocks than a sample."""
    directory = tmp_path_factory.mktemp("blocks")
    build(directory, options=replace(OPTIONS, block_bytes=BLOCK))
    folder = directory / key_of().folder_name()
    assert all(len(array.crc32) > 2 * SAMPLE_BLOCKS for array in read_manifest(folder).arrays.values())
    return folder


@pytest.fixture
def folder(built_of_many_blocks: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(built_of_many_blocks, tmp_path / built_of_many_blocks.name)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << (place % 8)
    path.write_bytes(content)


def test_a_whole_store_has_no_problem(folder: Path) -> None:
    for extent in ("sizes", "sample", "everything"):
        assert not list(find_problems(folder, extent=extent))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["image", "text"])
def test_any_flipped_bit_is_found_and_placed(folder: Path, name: str) -> None:
    path = array_path(folder, name)
    size = path.stat().st_size
    for place in [0, size - 1, *np.random.default_rng(0).integers(0, size, 10).tolist()]:
        flip(path, place)
        (problem,) = find_problems(folder, extent="everything")
        start = place // BLOCK * BLOCK
        assert problem.startswith(f"{path}: checksum differs in bytes {start:,} to {min(start + BLOCK, size) - 1:,};")
        assert f"delete {folder} and it is built again" in problem
        flip(path, place)
    assert not list(find_problems(folder, extent="everything"))


@pytest.mark.parametrize("place", [0, BLOCK - 1, -1])
def test_opening_reads_the_first_block_and_the_last(folder: Path, place: int) -> None:
    path = array_path(folder, "image")
    flip(path, place % path.stat().st_size)
    with pytest.raises(StoreError, match=r"image\.npy: checksum differs"):
        open_store(folder, key_of())


def test_opening_finds_damage_wherever_its_sample_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = array_path(folder, "image")
    flip(path, 20 * BLOCK + 7)
    for sample, is_found in (([0, 20, 30], True), ([0, 21, 30], False)):
        monkeypatch.setattr("peftrec.hidden_states.verification.blocks_to_read", lambda *_, sample=sample: sample)
        if is_found:
            with pytest.raises(StoreError, match="in bytes 1,280 to 1,343;"):
                open_store(folder, key_of())
        else:
            open_store(folder, key_of())


def test_a_small_file_is_read_whole_at_opening(built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / built.name)
    flip(array_path(folder, "text"), 2000)
    with pytest.raises(StoreError, match="checksum differs"):
        open_store(folder, key_of())


def test_a_sample_reaches_every_block_in_time() -> None:
    drawn: set[int] = set()
    for _ in range(60):
        sample = list(blocks_to_read(50, "sample"))
        assert len(set(sample)) == len(sample) == SAMPLE_BLOCKS
        assert {0, 49} <= set(sample)
        drawn |= set(sample)
    assert drawn == set(range(50))
    for count in (0, 1, SAMPLE_BLOCKS):
        assert list(blocks_to_read(count, "sample")) == list(range(count))
    assert list(blocks_to_read(1000, "everything")) == list(range(1000))
    assert list(blocks_to_read(1000, "sizes")) == []


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("name", ["image", "text"])
@pytest.mark.parametrize(
    ("damage", "found"), [(truncate, "truncated"), (lengthen, "truncated"), (Path.unlink, "missing")]
)
def test_a_file_of_another_size_is_named(folder: Path, name: str, damage: Callable[[Path], None], found: str) -> None:
    damage(array_path(folder, name))
    for extent in ("sizes", "sample", "everything"):
        (problem,) = find_problems(folder, extent=extent)  # type: ignore[arg-type]
        assert problem.startswith(f"{array_path(folder, name)}: {found}")
        assert f"delete {folder}" in problem


def test_all_damaged_files_are_named(folder: Path) -> None:
    for name in ("image", "text"):
        for place in (100, 300, 500, 700, 900):
            flip(array_path(folder, name), place)
    first, second = find_problems(folder, extent="everything")
    assert first.startswith(str(array_path(folder, "image")))
    assert second.startswith(str(array_path(folder, "text")))
    assert "bytes 64 to 127, 256 to 319, 448 to 511 and 2 other blocks" in second


@pytest.mark.parametrize("array", [np.zeros((23, 2, 16), np.float64), np.zeros((23, 16, 2), np.float32), None])
def test_an_array_of_another_kind_is_named(folder: Path, array: np.ndarray | None) -> None:
    """Its checksums were made to fit."""
    path = array_path(folder, "text")
    if array is None:
        path.write_bytes(b"no array at all")
    else:
        np.save(path, array)
    manifest = read_manifest(folder)
    text = ArrayFile.of(path, (23, 2, 16))
    changed = manifest.model_copy(update={"arrays": {**manifest.arrays, "text": text}})
    (folder / "manifest.json").write_bytes(changed.to_bytes())
    (problem,) = find_problems(folder, extent="sample")
    assert ("no .npy array" if array is None else "not float32(23, 2, 16)") in problem


def test_a_manifest_that_lists_other_arrays_is_named(folder: Path) -> None:
    manifest = read_manifest(folder)
    changed = manifest.model_copy(update={"arrays": {"text": manifest.arrays["text"]}})
    (folder / "manifest.json").write_bytes(changed.to_bytes())
    (problem,) = find_problems(folder, extent="sizes")
    assert "lists arrays ['text'], not ['image', 'text']" in problem
