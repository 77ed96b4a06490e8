"""A store that is not whole, or not this run's, is refused with the file and the remedy; no towers are needed here."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peftrec.errors import StoreError
from peftrec.hidden_states.store import (
    MANIFEST,
    ArrayFile,
    Manifest,
    StoreKey,
    TowerKey,
    array_path,
    file_checksum,
    gather,
    open_store,
)

SHAPES = {"image": (6, 3, 4), "text": (6, 2, 5)}


def tower_key(**changes: Any) -> TowerKey:
    values = {"weights": "w", "content": "c", "preprocessing": "p", "pooling": "cls", "states": (0, 1)}
    return TowerKey.model_validate(values | changes)


def store_key(**changes: Any) -> StoreKey:
    values = {"items": "i", "dtype": "float32", "towers": {name: tower_key() for name in SHAPES}}
    return StoreKey.model_validate(values | changes)


def write_store(folder: Path) -> Path:
    folder.mkdir()
    files = {}
    for name, shape in SHAPES.items():
        path = array_path(folder, name)
        np.save(path, np.random.default_rng(0).standard_normal(shape).astype(np.float32))
        files[name] = ArrayFile(shape=shape, bytes=path.stat().st_size, crc32=zlib.crc32(path.read_bytes()))
    manifest = Manifest(key=store_key(), arrays=files, build_seconds=1.5)
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_store(tmp_path / "store")


def test_a_whole_store_opens(folder: Path) -> None:
    store = open_store(folder, store_key())
    for name, shape in SHAPES.items():
        assert store.states[name].shape == shape  # type: ignore[index]
        np.testing.assert_array_equal(store.states[name].numpy(), np.load(array_path(folder, name)))  # type: ignore[index]
    assert store.manifest.build_seconds == 1.5


STALE = {
    "items": store_key(items="other"),
    "dtype": store_key(dtype="float16"),
    "format_version": store_key(format_version=99),
    "towers": store_key(towers={"image": tower_key(), "text": tower_key(weights="other")}),
}


@pytest.mark.parametrize("part", sorted(STALE))
def test_a_stale_store_says_what_differs(folder: Path, part: str) -> None:
    with pytest.raises(StoreError, match=rf"manifest\.json: the store is stale, its {part} differ") as caught:
        open_store(folder, STALE[part])
    assert f"delete {folder}" in str(caught.value)


@pytest.mark.parametrize("part", ["weights", "content", "preprocessing", "pooling", "states"])
def test_every_part_of_a_towers_key_counts(folder: Path, part: str) -> None:
    changed = tower_key(**{part: (0, 2) if part == "states" else "other"})
    key = store_key(towers={"image": changed, "text": tower_key()})
    assert key.folder_name() != store_key().folder_name()
    with pytest.raises(StoreError, match="stale"):
        open_store(folder, key)


def test_equal_keys_have_one_name_and_different_ones_have_others() -> None:
    keys = [store_key(), *STALE.values(), store_key(towers={"text": tower_key()})]
    assert len({key.folder_name() for key in keys}) == len(keys)
    turned = store_key(towers={name: tower_key() for name in reversed(SHAPES)})
    assert turned.folder_name() == store_key().folder_name()
    assert StoreKey.model_validate_json(store_key().model_dump_json()) == store_key()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def flip_last(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def flip_first(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (truncate, "truncated"),
        (lengthen, "truncated"),
        (flip_last, "checksum differs"),
        (flip_first, "checksum differs"),
        (Path.unlink, "missing"),
    ],
)
def test_a_damaged_array_is_named(folder: Path, name: str, damage: Callable[[Path], None], found: str) -> None:
    damage(array_path(folder, name))
    with pytest.raises(StoreError, match=found) as caught:
        open_store(folder, store_key())
    assert str(caught.value).startswith(str(array_path(folder, name)))
    assert f"delete {folder}" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "missing"),
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"[]", "malformed"),
        (b'{"key": {}, "arrays": {}, "build_seconds": 1}', "malformed"),
        (b"\xff\xfe", "malformed"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_named(folder: Path, content: bytes | None, found: str) -> None:
    file = folder / MANIFEST
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(StoreError, match=found) as caught:
        open_store(folder, store_key())
    assert str(caught.value).startswith(str(file))
    assert f"delete {folder}" in str(caught.value)


def test_a_manifest_with_a_key_too_many_is_malformed(folder: Path) -> None:
    file = folder / MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | {"extra": 1}))
    with pytest.raises(StoreError, match="malformed"):
        open_store(folder, store_key())


@pytest.mark.parametrize("array", [np.zeros((6, 2, 5), np.float64), np.zeros((6, 5, 2), np.float32)])
def test_an_array_of_another_kind_is_refused(folder: Path, array: np.ndarray) -> None:
    path = array_path(folder, "text")
    np.save(path, array)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["arrays"]["text"] |= {"bytes": path.stat().st_size, "crc32": file_checksum(path)}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"text\.npy: holds .*, not float32\(6, 2, 5\)"):
        open_store(folder, store_key())


def test_a_missing_folder_is_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing"):
        open_store(tmp_path / "nothing", store_key())


def test_checksums_are_those_of_zlib(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(2**22 + 5)  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert file_checksum(tmp_path / "file") == zlib.crc32(content)


@pytest.mark.parametrize("items", [[0], [5, 5, 1], [3, 0, 4, 1, 2]])
def test_gathering_equals_indexing(items: list[int]) -> None:
    states = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(gather(states, torch.tensor(items)), states[items])
