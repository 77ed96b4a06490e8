"""What stands in a store's way, goes away under it, or fails: one StoreError with a remedy, and never half a store."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from peftrec.data.batches import ItemBatch
from peftrec.data.content import ItemContent
from peftrec.errors import StoreError
from peftrec.hidden_states.listing import find_stores
from peftrec.hidden_states.manifest import MANIFEST
from peftrec.hidden_states.paths import array_path, building_path, lock_path
from peftrec.hidden_states.progress import PLAN
from peftrec.hidden_states.store import open_store
from small_stores import build, file_bytes, key_of, small_content, small_source

NAME = key_of().folder_name()


def folder_in_place_of(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.mkdir()


IN_THE_WAY: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file for a store": (lambda store: store.write_text("x"), f"{NAME}: a file, and no store; remove it"),
    "a link to nowhere": (
        lambda store: store.symlink_to("nowhere"),
        f"{NAME}: a link to nowhere, and no store; remove",
    ),
    "an empty folder": (Path.mkdir, f"{NAME}/manifest.json: missing; delete .*{NAME} and it is built again"),
    "a folder for a lock": (lambda store: lock_path(store).mkdir(), r"\.lock: a folder in place of a file; remove it"),
    "a lost lock": (
        lambda store: lock_path(store).symlink_to("no/where"),
        r"\.lock: gone .*, or a link to nowhere; give",
    ),
    "a file that grows": (
        lambda store: building_path(store).write_text("x"),
        r"\.building: a file, and no store; remove",
    ),
}


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_what_is_in_the_way_is_named_before_anything_is_built(name: str, tmp_path: Path) -> None:
    prepare, said = IN_THE_WAY[name]
    prepare(tmp_path / NAME)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError, match=said):
        build(tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    find_stores(tmp_path)


@pytest.mark.parametrize("name", [PLAN, "finished-0.json", MANIFEST, "text.npy"])
def test_a_growing_store_with_a_folder_for_a_file_begins_again(name: str, tmp_path: Path, built: Path) -> None:
    folder_in_place_of(building_path(tmp_path / NAME) / name)
    (found,) = find_stores(tmp_path)
    assert found.state == "abandoned"
    build(tmp_path)
    assert file_bytes(tmp_path / NAME) == file_bytes(built)


@pytest.mark.parametrize("name", [MANIFEST, "text.npy"])
def test_a_store_with_a_folder_for_a_file_is_damaged_and_hides_no_other(name: str, folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("0" * 16))
    folder_in_place_of(folder / name)
    with pytest.raises(StoreError, match=rf"{name}: .*delete {folder} and it is built again"):
        open_store(folder, key_of())
    assert sorted(store.state for store in find_stores(folder.parent)) == ["damaged", "whole"]


@dataclass(frozen=True, kw_only=True)
class VanishingContent(ItemContent):
    """Removes a folder at its third batch."""

    folder: Path
    asked: list[int]

    def batch(self, items: npt.NDArray[np.integer]) -> ItemBatch:
        self.asked.append(len(items))
        if len(self.asked) == 3:
            shutil.rmtree(self.folder)
        return super().batch(items)


def test_a_store_that_goes_away_while_it_is_built(tmp_path: Path, built: Path) -> None:
    whole = small_content()
    content = VanishingContent(by_tower=whole.by_tower, folder=building_path(tmp_path / NAME), asked=[])
    with pytest.raises(StoreError, match=rf"{NAME}\.building.*; give the same command again"):
        build(tmp_path, source=small_source(content=content))
    assert not (tmp_path / NAME).exists()
    build(tmp_path)
    assert file_bytes(tmp_path / NAME) == file_bytes(built)


def test_a_store_that_goes_away_while_it_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peftrec.hidden_states.store.note_use", shutil.rmtree)
    with pytest.raises(
        StoreError, match=r"image\.npy: gone while it was used, or a link to nowhere; give the same comm"
    ):
        open_store(folder, key_of())


def test_a_store_that_is_cut_while_it_is_read(folder: Path) -> None:
    store = open_store(folder, key_of()).placed("disk", torch.device("cpu"))
    os.truncate(array_path(folder, "text"), 300)
    with pytest.raises(StoreError, match=r"text\.npy: hidden states are cut off.*; give the same command again"):
        store.read(torch.tensor([20]))
    with pytest.raises(StoreError, match=r"text\.npy: hidden states are cut off"):
        store.placed("host", torch.device("cpu"))


def test_a_disk_that_fails_while_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(folder, key_of()).placed("disk", torch.device("cpu"))

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(StoreError, match=r"npy: Input/output error; give the same command again.*on another disk"):
        store.read(torch.tensor([1]))
    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(StoreError, match=r"npy: cannot be read \(Input/output error\); delete"):
        open_store(folder, key_of())


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs the tests may be allowed everything."""

    def refuse(path: object, *_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("peftrec.hidden_states.locking.os.open", refuse)
    with pytest.raises(
        StoreError, match=r"\.lock: Permission denied; set hidden_states\.directory=DIR to a folder that"
    ):
        build(tmp_path)
