"""A run's plan agrees with the run's record; a set's TPME orders as its costs do."""

from dataclasses import replace
from pathlib import Path

import pytest

from peftrec.planning.batches import Workload
from peftrec.planning.plan import Plan, plan_run, plan_set
from peftrec.planning.request import DataSize, PlanRequest
from peftrec.planning.workloads import read_workload
from peftrec.results.record import read_record
from peftrec.training.run.pipeline import train_run
from small_models import WIDTH
from small_plans import planner_of, settings_of

pytestmark = pytest.mark.integration

SIZE = DataSize(users=500, items=300, interactions=4000)


@pytest.mark.parametrize(
    ("strategy", "precision", "batch_size"),
    [
        ("iisan_cached", "32-true", 16),
        ("bitfit", "bf16-mixed", 64),
        ("lora", "bf16-true", 64),
        pytest.param("full", "32-true", 16, marks=pytest.mark.slow),
        pytest.param("full", "bf16-mixed", 16, marks=pytest.mark.slow),
        pytest.param("iisan_cached", "bf16-mixed", 16, marks=pytest.mark.slow),
    ],
)
def test_a_plan_says_what_the_record_will(strategy: str, precision: str, batch_size: int, tmp_path: Path) -> None:
    trainer = {"precision": precision, "max_epochs": 1}
    settings = settings_of(tmp_path, strategy, trainer=trainer, batch_size=batch_size)
    record = read_record(train_run(settings).run_directory)
    plan = plan_run(strategy, settings, read_workload(settings), PlanRequest())
    assert record.efficiency is not None
    assert record.parameters is not None
    assert plan.exact_bytes == record.efficiency.exact_bytes
    # The plan's largest batch has the most items and the longest title, whether in one batch or not.
    assert plan.memory_bytes == pytest.approx(record.efficiency.peak_memory_bytes, rel=0.02)
    assert plan.step_operations == record.efficiency.step_operations
    assert plan.batches.num_steps == record.epochs[0].num_steps
    assert plan.trainable_parameters == record.parameters.trainable
    assert plan.parameters == record.parameters.by_origin


@pytest.mark.parametrize("objective", ["full_softmax", "scalable_cross_entropy", "sampled_softmax"])
def test_a_plan_knows_what_an_objective_scores(objective: str, tmp_path: Path) -> None:
    """Of the whole catalogue, or of drawn items, for each position that is no padding."""
    name = "".join(map(str.capitalize, objective.split("_")))
    node = {"_target_": f"peftrec.objectives.{objective}.{name}"}
    settings = settings_of(tmp_path, "id", trainer={"max_epochs": 1}, objective=node)
    record = read_record(train_run(settings).run_directory)
    plan = plan_run("id", settings, read_workload(settings), PlanRequest())
    assert record.efficiency is not None
    assert plan.step_operations == record.efficiency.step_operations
    assert plan.exact_bytes == record.efficiency.exact_bytes


def test_reduced_precision_keeps_less_for_the_backward_pass(tmp_path: Path) -> None:
    saved = {}
    for precision in ("32-true", "bf16-mixed", "bf16-true"):
        settings = settings_of(tmp_path, "ln_tuning", trainer={"precision": precision}, towers={"image": None})
        (plan,) = plan_set({"": settings}, PlanRequest(size=SIZE)).plans
        saved[precision] = plan.exact_bytes.saved_for_backward
    assert saved["bf16-true"] < saved["bf16-mixed"] < saved["32-true"]


def test_an_epoch_is_its_steps(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id")
    plan = plan_run("", settings, read_workload(settings), PlanRequest(rate=1e9))
    assert plan.epoch_operations == pytest.approx(plan.batches.num_steps * plan.step_operations, rel=0.2)
    assert plan.seconds_per_epoch == plan.epoch_operations / 1e9
    assert plan.store is None
    assert plan.largest_batch is None


def test_the_largest_batch_fits_and_one_more_user_does_not(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id")
    workload, planner = read_workload(settings), planner_of(settings)

    def peak(batch_size: int) -> int:
        return planner.plan(workload.batches(replace(settings, batch_size=batch_size)).largest).peak_bytes

    memory = peak(24)
    found = plan_run("", settings, workload, PlanRequest(memory=memory)).largest_batch
    assert found is not None
    assert found.batch_size is not None
    assert found.batch_size >= 24
    assert peak(found.batch_size) <= memory < peak(found.batch_size + 1)


def test_the_order_of_tpme_is_that_of_costs(tmp_path: Path) -> None:
    runs = {name: settings_of(tmp_path, name) for name in ("full", "lora", "iisan", "iisan_cached")}
    planned = plan_set(runs, PlanRequest(size=SIZE))
    assert planned.tpme["full"] == max(planned.tpme.values()) <= 1
    assert planned.tpme["iisan_cached"] < planned.tpme["iisan"] < planned.tpme["lora"] < planned.tpme["full"]
    assert planned.tpme_problem is None


def test_a_set_of_different_data_has_no_tpme(tmp_path: Path) -> None:
    runs = {str(number): settings_of(tmp_path, "id", data={"num_users": number}) for number in (64, 80)}
    planned = plan_set(runs, PlanRequest())
    assert not planned.tpme
    assert planned.tpme_problem is not None
    assert "differ in data" in planned.tpme_problem


def test_shared_data_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peftrec.planning import plan as module

    read: list[Workload] = []
    found = module.find_workload
    monkeypatch.setattr(module, "find_workload", lambda *given: read.append(found(*given)) or read[-1])
    text_only = {"image": None}
    runs = {name: settings_of(tmp_path, name, towers=text_only) for name in ("iisan_cached", "frozen_cached")}
    plan_set(runs, PlanRequest(size=SIZE))
    assert len(read) == 1


def test_memory_is_what_tpme_would_compare(tmp_path: Path) -> None:
    plans = {}
    for accelerator in ("cpu", "gpu"):
        settings = settings_of(tmp_path, "full", trainer={"accelerator": accelerator}, towers={"image": None})
        plans[accelerator] = plan_set({"full": settings}, PlanRequest(size=SIZE)).plans[0]
    on_cpu, on_cuda = plans["cpu"], plans["gpu"]
    assert isinstance(on_cpu, Plan)
    assert on_cpu.memory_bytes == on_cpu.peak_bytes > on_cpu.exact_bytes.total
    assert on_cuda.memory_bytes == on_cuda.peak_bytes
    # Without attention weights for the backward pass, CUDA keeps less.
    assert on_cuda.exact_bytes.saved_for_backward < on_cpu.exact_bytes.saved_for_backward


def test_what_is_taken_for_granted_is_said(tmp_path: Path) -> None:
    def caveats(**trainer: object) -> str:
        settings = settings_of(tmp_path, "frozen_cached", trainer=trainer, towers={"image": None})
        return "; ".join(plan_set({"": settings}, PlanRequest(size=SIZE)).plans[0].caveats)

    on_cpu = caveats(accelerator="cpu")
    assert on_cpu.startswith("items are taken as equally popular")
    assert "device" not in on_cpu
    assert "without a device; stored states are planned on the device" in caveats(accelerator="gpu")
    assert "trainer.compile" in caveats(accelerator="cpu", compile=True)


@pytest.mark.parametrize(
    ("accelerator", "placement", "elsewhere"),
    [("gpu", "host", "in the host's memory"), ("cpu", "disk", "on the disk")],
)
def test_a_store_that_leaves_less_than_half_is_planned_elsewhere(
    tmp_path: Path, accelerator: str, placement: str, elsewhere: str
) -> None:
    """As `placement: auto` decides where a run starts."""
    size = replace(SIZE, users=2, interactions=16)  # so that no larger batch is looked for
    store_bytes = size.items * WIDTH * 4

    def planned(memory: int | None, placement: str = "auto") -> Plan:
        settings = settings_of(
            tmp_path,
            "frozen_cached",
            trainer={"accelerator": accelerator},
            hidden_states={"placement": placement},
            towers={"image": None},
        )
        return plan_set({"": settings}, PlanRequest(size=size, memory=memory)).plans[0]

    with_room, without = planned(2 * store_bytes), planned(2 * store_bytes - 1)
    assert with_room.store is not None
    assert with_room.store.num_bytes == store_bytes
    assert with_room.peak_bytes == planned(None).peak_bytes
    assert without.peak_bytes == planned(None, placement).peak_bytes != with_room.peak_bytes
    assert elsewhere in "; ".join(without.caveats)
    assert elsewhere not in "; ".join(with_room.caveats)
