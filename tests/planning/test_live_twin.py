"""What a plan says that a store saves is what a live step computes beyond a cached one, of every strategy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peftrec.planning.live_twin import live_twin
from peftrec.planning.plan import plan_run
from peftrec.planning.request import PlanRequest
from peftrec.planning.workloads import read_workload
from peftrec.settings.run import Settings
from peftrec.training.measurement.first_step import observe_step
from small_plans import STRATEGIES, TWINS, first_batch, real_module, settings_of
from small_runs import TOKENIZER, small_settings

pytestmark = pytest.mark.integration

ALL_USERS = 64
"""Of the small data: an epoch is one batch, and the mean one is the first."""
STORED = [
    pytest.param(name, marks=pytest.mark.slow) if name in TWINS and name != "vqt_cached" else name
    for name in STRATEGIES
    if name.endswith("_cached")
]


def counted(settings: Settings) -> int:
    """Run the first step with values, and count its operations."""
    module, split = real_module(settings)
    return observe_step(module, first_batch(settings, module, split)).operations


@pytest.mark.parametrize("strategy", STORED)
def test_a_live_step_less_a_cached_one_is_what_is_saved(strategy: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, strategy, batch_size=ALL_USERS)
    plan = plan_run(strategy, settings, read_workload(settings), PlanRequest())
    live = replace(settings, strategy=replace(settings.strategy, states="live"))
    assert plan.batches.first == plan.batches.mean
    assert plan.store is not None
    assert plan.store.saved_operations == counted(live) - counted(settings)
    assert plan.store.saved_operations > 0


def test_a_twin_has_its_towers_in_memory(tmp_path: Path) -> None:
    tiny: dict[str, Any] = {"text": {"checkpoint": TOKENIZER}, "image": None}
    settings = small_settings(tmp_path, "iisan_cached", towers=tiny)
    offloaded = small_settings(tmp_path, "iisan_cached", towers={**tiny, "text": {**tiny["text"], "offload": True}})
    assert offloaded != settings
    assert live_twin(offloaded) == live_twin(settings) is not None


def test_where_no_live_run_may_be_nothing_is_said_of_it(tmp_path: Path) -> None:
    objective = {"_target_": "peftrec.objectives.full_softmax.FullSoftmax"}
    settings = settings_of(tmp_path, "iisan_cached", objective=objective)
    plan = plan_run("run", settings, read_workload(settings), PlanRequest())
    assert plan.store is not None
    assert plan.store.saved_operations is None
