"""Which store a run reads: its key follows the settings that decide its numbers, and no others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from peftrec.errors import SettingsError, StoreError
from peftrec.hidden_states.manifest import read_manifest
from peftrec.training.building.assembly import assemble
from peftrec.training.building.reading import prepare_data
from peftrec.training.building.stored_states import provide_store, store_key
from small_runs import TOKENIZER, small_settings

CPU = torch.device("cpu")


def key_name(tmp_path: Path, strategy: str = "iisan_cached", **changes: Any) -> str:
    settings = small_settings(tmp_path, strategy, **changes)
    return store_key(settings, prepare_data(settings).items).folder_name()


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_states": {"dtype": "float16"}},
        {"hidden_states": {"compute": "bfloat16"}},
        {"seed": 2},  # the towers are random
        {"data": {"catalogue_seed": 5}},
    ],
)
def test_what_decides_the_states_decides_the_store(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert key_name(tmp_path, **changes) != key_name(tmp_path)


def test_the_states_that_a_strategy_reads_decide_the_store(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, "iisan_cached")
    other = replace(settings, strategy=replace(settings.strategy, layers=(1, 2)))  # type: ignore[call-arg]
    items = prepare_data(settings).items
    assert store_key(other, items).folder_name() != store_key(settings, items).folder_name()


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_states": {"directory": "elsewhere", "batch_size": 7, "placement": "disk"}},
        {"embedding_dim": 12},
        {"batch_size": 8},
        {"trainer": {"max_epochs": 1}},
    ],
)
def test_nothing_else_does(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert key_name(tmp_path, **changes) == key_name(tmp_path)


def test_live_and_stored_states_are_the_same(tmp_path: Path) -> None:
    assert key_name(tmp_path, "iisan") == key_name(tmp_path, "iisan_cached")


@pytest.mark.parametrize(("strategy", "reason"), [("full", "strategy.blocks=top_2"), ("id", "use states=live")])
def test_a_strategy_that_reads_no_states_is_refused(tmp_path: Path, strategy: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        key_name(tmp_path, strategy)


def test_the_manifest_says_what_was_stored(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, "iisan_cached", hidden_states={"dtype": "float16", "batch_size": 16})
    items = prepare_data(settings).items
    manifest = provide_store(settings, items, CPU).manifest
    assert read_manifest(tmp_path / "hidden_states" / manifest.key.folder_name()) == manifest
    assert manifest.key.num_items == len(items) == 100
    assert manifest.batch_size == 16
    assert manifest.origins["text"].checkpoint == "random bert"
    assert "max_tokens=30" in manifest.key.towers["text"].preprocessing
    assert "height=16" in manifest.key.towers["image"].preprocessing


def test_eight_bits_change_embeddings_by_rounding_alone(tmp_path: Path) -> None:
    exact = small_settings(tmp_path, "iisan_cached")
    bits = small_settings(tmp_path, "iisan_cached", hidden_states={"dtype": "int8"})
    split = prepare_data(exact)
    one, other = (assemble(settings, split, CPU).module.encode_catalogue() for settings in (exact, bits))
    difference = (one - other).norm(dim=1) / one.norm(dim=1)
    assert 0 < difference.max() < 0.05


@pytest.mark.parametrize("placement", ["device", "host", "disk"])
def test_a_run_keeps_the_states_where_it_is_told(tmp_path: Path, placement: str) -> None:
    settings = small_settings(tmp_path, "iisan_cached", hidden_states={"placement": placement})
    assembled = assemble(settings, prepare_data(settings), CPU)
    assert assembled.store is not None
    assert assembled.store.placement == placement
    assert assembled.module.content.states is None
    embeddings = assembled.module.encode_catalogue()
    others = small_settings(tmp_path, "iisan_cached")
    assert torch.equal(embeddings, assemble(others, prepare_data(others), CPU).module.encode_catalogue())


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_batches_carry_the_states_that_the_device_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """As on a GPU: the loader reads them, and the encoder asks no store."""
    settings = small_settings(tmp_path, "iisan_cached", hidden_states={"dtype": dtype})
    split = prepare_data(settings)
    expected = assemble(settings, split, CPU).module.encode_catalogue()
    monkeypatch.setattr("peftrec.hidden_states.store.HiddenStateStore.is_read_by_loader", True)
    assembled = assemble(settings, split, CPU)
    assert assembled.module.content.states is assembled.store
    monkeypatch.delattr("peftrec.hidden_states.store.HiddenStateStore.read")
    assert torch.equal(assembled.module.encode_catalogue(), expected)


def test_a_store_too_large_for_a_chosen_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peftrec.hidden_states.placement.free_host_memory", lambda: 1000)
    settings = small_settings(tmp_path, "iisan_cached", hidden_states={"placement": "host"})
    with pytest.raises(StoreError, match=r"hidden_states\.placement=host: the states need .* 1,000 are free"):
        assemble(settings, prepare_data(settings), CPU)
    auto = small_settings(tmp_path, "iisan_cached")
    store = assemble(auto, prepare_data(auto), CPU).store
    assert store is not None
    assert store.placement == "disk"


TITLES_ALONE: dict[str, Any] = {"text": {"checkpoint": TOKENIZER}, "image": None}


def test_a_store_of_offloaded_blocks_is_the_same_to_the_byte(tmp_path: Path) -> None:
    written = {}
    for offload in (False, True):
        towers = {"text": {**TITLES_ALONE["text"], "offload": offload}, "image": None}
        directory = tmp_path / str(offload)
        settings = small_settings(tmp_path, "iisan_cached", towers=towers, hidden_states={"directory": str(directory)})
        provide_store(settings, prepare_data(settings).items, CPU)
        written[offload] = {file.relative_to(directory): file.read_bytes() for file in directory.rglob("*.npy")}
    assert len(written[True]) == 1
    assert written[True] == written[False]


@pytest.mark.parametrize("strategy", ["lora", "lora_cached"])
def test_what_runs_the_blocks_in_every_step_takes_none_that_stay_in_files(tmp_path: Path, strategy: str) -> None:
    towers = {"text": {**TITLES_ALONE["text"], "offload": True}, "image": None}
    with pytest.raises(SettingsError, match=rf"towers.text.offload=true: strategy={strategy} runs the tower's blocks"):
        small_settings(tmp_path, strategy, towers=towers)
    small_settings(tmp_path, "id", towers=towers)
