"""A planned store is as large as the built one, and is built by the towers' forward pass alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from peftrec.errors import SettingsError
from peftrec.models.item_encoder import ItemEncoder, TowerItemEncoder
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.towers import Towers
from peftrec.planning.fake_tensors import FakeRun, build_fake_run
from peftrec.planning.store import PlannedStore, plan_store
from peftrec.planning.target import find_target
from peftrec.planning.workloads import read_workload
from peftrec.settings.run import Settings
from peftrec.strategies.iisan import IISAN
from peftrec.training.building.item_side import load_content
from peftrec.training.building.reading import prepare_data
from peftrec.training.building.stored_states import provide_store
from peftrec.training.measurement.first_step import UNCOUNTED_BY_TORCH
from small_models import WIDTH
from small_plans import settings_of
from small_runs import TOKENIZER, small_settings


def fake_run(settings: Settings, num_items: int = 10, mean_tokens: Mapping[TowerName, float] | None = None) -> FakeRun:
    return build_fake_run(
        settings, find_target(settings), num_items=num_items, sequence_length=10, mean_tokens=mean_tokens
    )


def planned(settings: Settings, *, rate: float | None = None) -> PlannedStore:
    workload = read_workload(settings)
    run = fake_run(settings, workload.num_items, workload.mean_tokens)
    assert run.stored is not None
    return plan_store(settings, run.stored, workload, rate=rate, saved_operations=None)


@pytest.mark.parametrize(
    ("strategy", "dtype"),
    [
        ("iisan_cached", "float16"),
        ("frozen_cached", "float32"),
        ("lst_cached", "int8"),
        ("lst_cached", "bfloat16"),
        ("lst_cached", "int8_channels"),
    ],
)
def test_the_size_is_that_of_the_built_store(strategy: str, dtype: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, strategy, hidden_states={"dtype": dtype})
    split = prepare_data(settings)
    provide_store(settings, split.items, torch.device("cpu"))
    (folder,) = [file.parent for file in tmp_path.rglob("manifest.json")]
    plan = planned(settings)
    row_bytes = {"float32": 4 * WIDTH, "float16": 2 * WIDTH, "bfloat16": 2 * WIDTH, "int8": WIDTH + 4}
    rows = len(split.items) * 2 * plan.states["text"]
    scales = 2 * plan.states["text"] * 4 * WIDTH if dtype == "int8_channels" else 0
    arrays = rows * row_bytes.get(dtype, WIDTH) + scales
    assert plan.num_bytes == arrays
    assert plan.num_bytes == sum(np.load(file, mmap_mode="r").nbytes for file in folder.glob("*.npy"))


def test_a_store_of_tokens_is_as_large_as_the_titles_are_long(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "lora_cached", hidden_states={"dtype": "bfloat16"})
    split = prepare_data(settings)
    store = provide_store(settings, split.items, torch.device("cpu"))
    lengths = store.token_counts()
    assert lengths is not None
    assert planned(settings).num_bytes == int(lengths.sum()) * 2 * WIDTH


def test_building_encodes_every_item_once(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "iisan_cached")
    split = prepare_data(settings)
    content = load_content(settings.towers, split.items, keep_bytes=2**20)
    towers = settings.towers.load(seed=1)
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=UNCOUNTED_BY_TORCH) as counted:
        for item in range(len(split.items)):
            towers(content.batch(torch.tensor([item]).numpy()))
    plan = planned(settings, rate=2.0)
    assert plan.build_operations == pytest.approx(counted.get_total_flops(), rel=0.02)  # titles at their mean length
    assert plan.build_seconds == plan.build_operations / 2


def test_no_store_is_planned_where_none_is_read(tmp_path: Path) -> None:
    run = fake_run(settings_of(tmp_path, "iisan"))
    assert run.stored is None
    assert not run.states


def test_an_encoder_that_cannot_read_a_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path, "iisan_cached")

    def adapt(_: IISAN, towers: Towers, *, embedding_dim: int, num_items: int) -> ItemEncoder:
        return TowerItemEncoder(towers, embedding_dim=embedding_dim)

    monkeypatch.setattr(IISAN, "adapt", adapt)
    with pytest.raises(SettingsError, match="iisan_cached builds a TowerItemEncoder, which reads no stored states"):
        fake_run(settings)


def test_towers_in_memory_are_whole_or_what_is_not_offloaded_and_two_blocks(tmp_path: Path) -> None:
    tiny: dict[str, Any] = {"text": {"checkpoint": TOKENIZER}, "image": None}
    settings = small_settings(tmp_path, "iisan_cached", towers=tiny)
    offloaded = small_settings(tmp_path, "iisan_cached", towers={**tiny, "text": {**tiny["text"], "offload": True}})
    tower = settings.towers.load(seed=1).present()["text"]
    blocks = [sum(parameter.nbytes for parameter in block.parameters()) for block in tower.blocks()]
    whole = sum(parameter.nbytes for parameter in tower.parameters())
    assert planned(settings).resident_bytes == whole
    assert planned(offloaded).resident_bytes == whole - sum(blocks) + 2 * blocks[0]
    assert len(blocks) > 2
