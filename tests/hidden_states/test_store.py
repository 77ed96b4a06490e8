"""A store that opens is the one that was asked for; its use is noted and its files are never written to."""

import os
import time
from pathlib import Path

import pytest
import torch

from peftrec.errors import StoreError
from peftrec.hidden_states.key import StoreKey
from peftrec.hidden_states.store import open_store
from small_models import WIDTH
from small_stores import INDICES, NUM_ITEMS, build, file_bytes, key_of


def changed_key(part: str) -> StoreKey:
    if part == "towers":
        towers = key_of().towers
        return key_of().model_copy(update={"towers": towers | {"text": towers["image"]}})
    changes = {
        "items": "other",
        "dtype": "float16",
        "compute": "bfloat16",
        "num_items": 24,
        "format_version": 99,
        "code": "other",
        "form": "tokens",
    }
    return key_of().model_copy(update={part: changes[part]})


@pytest.mark.parametrize("part", sorted(StoreKey.model_fields))
def test_a_stale_store_says_what_differs(folder: Path, part: str) -> None:
    with pytest.raises(StoreError, match=rf"manifest\.json: the store is stale, its {part} differ") as caught:
        open_store(folder, changed_key(part))
    assert f"delete {folder}" in str(caught.value)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing"):
        open_store(tmp_path / "nothing", key_of())


def test_opening_gives_what_building_gave(tmp_path: Path) -> None:
    built = build(tmp_path)
    opened = open_store(tmp_path / key_of().folder_name(), key_of())
    assert opened.manifest == built.manifest
    for name, states in opened.read(torch.arange(NUM_ITEMS)).items():
        assert torch.equal(states, built.read(torch.arange(NUM_ITEMS))[name])
    assert opened.num_bytes == sum(map(len, file_bytes(tmp_path / key_of().folder_name()).values()))


def test_writing_to_what_was_read_leaves_the_file_alone(folder: Path) -> None:
    before = file_bytes(folder)
    for choice in ("host", "disk"):
        store = open_store(folder, key_of()).placed(choice, torch.device("cpu"))  # type: ignore[arg-type]
        store.read(torch.arange(NUM_ITEMS))["image"].fill_(7.0)
        if choice == "host":
            store.rows["image"].states.fill_(7.0)  # type: ignore[attr-defined]
    assert file_bytes(folder) == before


def test_opening_notes_its_use_and_changes_no_file(folder: Path) -> None:
    os.utime(folder, (1000, 2000))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    open_store(folder, key_of())
    assert folder.stat().st_mtime > time.time() - 60
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_store_on_a_disk_that_cannot_be_written_opens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise PermissionError("read only")

    monkeypatch.setattr(os, "utime", refuse)
    assert open_store(folder, key_of()).read(torch.tensor([1]))["text"].shape == (1, len(INDICES["text"]), WIDTH)
