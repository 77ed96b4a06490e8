"""What serving costs is a time of what was called, and bounded."""

import time
from pathlib import Path

import pytest
import torch

from peftrec.training.measurement import serving
from peftrec.training.measurement.serving import measure_serving, timed
from peftrec.training.parameter_groups import tensor_bytes
from peftrec.training.run.scoring import encoded_candidates
from small_plans import real_module, settings_of

CPU = torch.device("cpu")


def test_a_call_is_timed_again_and_again_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "BUDGET_SECONDS", 0.2)
    began = time.perf_counter()
    seconds = timed(lambda _: time.sleep(0.02), CPU)
    assert 5 <= len(seconds) <= 11
    assert min(seconds) >= 0.02
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("strategy", ["frozen", "id"])
def test_serving_is_measured_without_changing_the_model(strategy: str, tmp_path: Path) -> None:
    module, split = real_module(settings_of(tmp_path, strategy))
    catalogue = encoded_candidates(module)
    found = measure_serving(
        module,
        catalogue,
        split.test,
        sequence_length=split.sequence_length,
        reads_times=False,
        runs_towers=strategy == "frozen",
    )
    assert found.kept_bytes == tensor_bytes(each for each in module.parameters() if each.requires_grad)
    assert found.num_items == len(split.items)
    assert 0 < found.as_trained.item_seconds <= found.as_trained.catalogue_seconds
    assert (found.as_trained.new_item_seconds is None) == (strategy == "id")
    assert 0 < found.answer_seconds_p50 <= found.answer_seconds_p99
    assert torch.equal(encoded_candidates(module), catalogue)
