"""What serving costs: times of what was called, in bounded time, and operations that are arithmetic."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from peftrec.data.split import Split
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.models.peft.merging import tuner_layers
from peftrec.results.costs import Serving
from peftrec.training.building.assembly import assemble
from peftrec.training.building.item_side import load_content, load_towers
from peftrec.training.building.reading import prepare_data
from peftrec.training.measurement import repeated
from peftrec.training.measurement.item_costs import unless_out_of_memory
from peftrec.training.measurement.repeated import timed
from peftrec.training.module import RecommenderModule
from peftrec.training.new_items import embed_new
from peftrec.training.parameter_groups import tensor_bytes
from peftrec.training.run.scoring import encoded_candidates
from peftrec.training.run.serving_costs import serving_of
from small_plans import settings_of

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "BUDGET_SECONDS", 0.05)


def served(folder: Path, strategy: str, **changes: Any) -> tuple[Serving, RecommenderModule, Split]:
    """Measure a module that has not trained, and check that it is as before."""
    settings = settings_of(folder, strategy, **changes)
    split = prepare_data(settings)
    module = assemble(settings, split, CPU).module
    catalogue = encoded_candidates(module)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = serving_of(settings, split, module, catalogue)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert torch.equal(encoded_candidates(module), catalogue)
    return found, module, split


def test_a_call_is_timed_again_and_again_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "BUDGET_SECONDS", 0.2)
    began = time.perf_counter()
    seconds = timed(lambda _: time.sleep(0.02), CPU)
    assert 5 <= len(seconds) <= 11
    assert min(seconds) >= 0.02
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("strategy", ["frozen", "frozen_cached", "lora", "id"])
def test_serving_is_measured_without_changing_the_model(strategy: str, tmp_path: Path) -> None:
    found, module, split = served(tmp_path, strategy)
    assert found.kept_bytes == tensor_bytes(each for each in module.parameters() if each.requires_grad)
    assert found.num_items == len(split.items)
    assert found.as_trained.item_seconds > 0
    assert found.as_trained.catalogue_seconds > 0
    assert found.as_trained.encoded_items == len(split.items)
    assert (found.as_trained.new_item_seconds is None) == (strategy == "id")
    assert (found.merged is not None) == (strategy == "lora") == bool(tuner_layers(module))
    assert 0 < found.answer_seconds_p50 <= found.answer_seconds_p99


def head_operations(module: RecommenderModule) -> int:
    head = module.recommender.item_encoder.get_submodule("network.head" if _reads_states(module) else "head")
    return sum(2 * layer.in_features * layer.out_features for layer in head.modules() if hasattr(layer, "in_features"))


def _reads_states(module: RecommenderModule) -> bool:
    return isinstance(module.recommender.item_encoder, FrozenStatesEncoder)


@pytest.mark.parametrize("strategy", ["frozen", "frozen_cached", "full", "id"])
def test_what_adds_nothing_to_the_towers_costs_its_head_alone(strategy: str, tmp_path: Path) -> None:
    found, module, _ = served(tmp_path, strategy)
    assert found.as_trained.extra_operations == (0 if strategy == "id" else head_operations(module))


def test_lora_costs_its_factors_until_they_are_merged(tmp_path: Path) -> None:
    found, module, _ = served(tmp_path, "lora")
    assert found.merged is not None
    assert found.at_best is found.merged
    assert found.merged.extra_operations == head_operations(module)
    assert found.as_trained.extra_operations is not None
    factors = {
        name: list(tuner_layers(tower).values())
        for name, tower in module.recommender.item_encoder.towers.present().items()
    }
    by_token = {
        name: sum(2 * layer.r["default"] * (layer.in_features + layer.out_features) for layer in layers)
        for name, layers in factors.items()
    }
    image = (16 // 8) ** 2 + 1  # patches, and the token before them
    words, rest = divmod(
        found.as_trained.extra_operations - head_operations(module) - image * by_token["image"], by_token["text"]
    )
    assert rest == 0
    assert words > 0


@pytest.mark.parametrize("strategy", ["iisan", "lst"])
def test_a_store_changes_no_operation_beyond_the_towers(strategy: str, tmp_path: Path) -> None:
    live, stored = (served(tmp_path, name)[0] for name in (strategy, f"{strategy}_cached"))
    assert live.as_trained.extra_operations == stored.as_trained.extra_operations
    assert live.as_trained.extra_operations
    assert live.merged is stored.merged is None


def test_what_a_store_saves_is_counted(tmp_path: Path) -> None:
    """Below the lowest block of a tower an image's patches are embedded by a product, and words are looked up."""
    found, module, _ = served(tmp_path, "lora_cached")
    projection = module.recommender.item_encoder.get_submodule("head.project.image")
    patches, values = (16 // 8) ** 2, 3 * 8 * 8
    assert found.as_trained.stored_operations == 2 * patches * values * projection.in_features
    assert found.merged is not None
    assert found.merged.extra_operations == head_operations(module)
    assert served(tmp_path, "frozen")[0].as_trained.stored_operations == 0
    whole = served(tmp_path, "frozen_cached")[0].as_trained.stored_operations
    assert whole is not None
    assert whole > found.as_trained.stored_operations


def test_a_new_item_of_a_run_that_reads_a_store_is_the_items_own_row(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "iisan_cached")
    split = prepare_data(settings)
    module = assemble(settings, split, CPU).module
    catalogue = encoded_candidates(module)
    content = load_content(settings.towers, split.items, keep_bytes=0)
    items = content.encoding_order(len(split.items))[:5]
    with torch.inference_mode():
        towers = load_towers(settings, with_weights=True).eval()
        new = embed_new(module.recommender, content.batch(items), towers)
    torch.testing.assert_close(new, catalogue[torch.from_numpy(items)])


def test_no_memory_for_a_measurement_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    def runs_out() -> int:
        raise torch.OutOfMemoryError

    assert unless_out_of_memory("a new item", runs_out) is None
    assert "no memory beside the run to measure a new item" in capsys.readouterr().err
    assert unless_out_of_memory("a new item", lambda: 3) == 3
