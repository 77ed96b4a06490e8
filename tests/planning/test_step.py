"""A planned step costs what the measured one does, to the byte and the operation, for every strategy."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from peftrec.config.folder import config_directory
from peftrec.data.batches import SequenceBatch
from peftrec.errors import SettingsError
from peftrec.models.objectives.inputs import ObjectiveInputs
from peftrec.objectives.full_softmax import FullSoftmax
from peftrec.planning.allocation import LiveBytes
from peftrec.planning.batches import BatchShape
from peftrec.planning.step import StepPlanner
from peftrec.planning.workloads import read_workload
from peftrec.results.record import read_record
from peftrec.settings.run import Settings
from peftrec.training.measurement.first_step import StepCost, observe_step, probe_step
from peftrec.training.module import RecommenderModule
from peftrec.training.parameter_groups import tensor_bytes
from peftrec.training.run.pipeline import train_run
from small_models import WIDTH
from small_plans import STRATEGIES, TWINS, described, each_or_slow, first_batch, planner_of, real_module, settings_of

pytestmark = pytest.mark.integration

SHAPE = BatchShape(num_users=16, num_items=40, title_tokens={"text": 9})


def optimizer_states(module: RecommenderModule, batch: SequenceBatch) -> list[torch.Tensor]:
    """Train one step and return what the optimizer keeps."""
    optimizer = module.configure_optimizers()
    module.loss(batch).backward()
    optimizer.step()
    module.zero_grad(set_to_none=True)
    return [value for state in optimizer.state.values() for value in state.values()]


OBJECTIVES = sorted((config_directory() / "objective").glob("*.yaml"))
USER_ENCODERS = sorted((config_directory() / "user_encoder").rglob("*.yaml"))


def test_every_twin_is_of_a_strategy_that_the_quick_tests_look_at() -> None:
    assert set(TWINS) < set(STRATEGIES)
    assert set(TWINS.values()) <= set(STRATEGIES) - set(TWINS)


@pytest.mark.parametrize("strategy", each_or_slow(STRATEGIES))
def test_a_planned_step_is_the_measured_one(strategy: str, tmp_path: Path) -> None:
    assert_planned_as_measured(settings_of(tmp_path, strategy))


@pytest.mark.parametrize("file", OBJECTIVES, ids=lambda file: file.stem)
def test_a_step_of_any_objective_is_planned(file: Path, tmp_path: Path) -> None:
    """With what is drawn, or all items, beside the batch."""
    assert_planned_as_measured(settings_of(tmp_path, "id", objective=yaml.safe_load(file.read_text())))


@pytest.mark.parametrize("file", USER_ENCODERS, ids=lambda file: file.stem)
def test_a_step_of_any_user_encoder_is_planned(file: Path, tmp_path: Path) -> None:
    assert_planned_as_measured(settings_of(tmp_path, "id", user_encoder=yaml.safe_load(file.read_text())))


def test_a_norm_of_the_item_embeddings_is_planned(tmp_path: Path) -> None:
    assert_planned_as_measured(settings_of(tmp_path, "id", user_encoder={"norm": "scale", "fix_norm": True}))


@pytest.mark.parametrize("strategy", ["lora", "sherl"])
def test_a_step_of_quantised_towers_is_planned(strategy: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, strategy)
    text = settings.towers.text_encoders["text"]
    assert_planned_as_measured(replace(settings, towers=replace(settings.towers, text=replace(text, weights="int8"))))


def assert_planned_as_measured(settings: Settings) -> None:
    """Names, shapes and roles of parameters, bytes of every kind, operations, and the most that is alive at once."""
    planner = planner_of(settings)
    planned = planner.plan(read_workload(settings).batches(settings).first)
    module, split = real_module(settings)
    batch = first_batch(settings, module, split)
    states = optimizer_states(module, batch)
    measured, peak = observed_step(module, batch, states)
    assert described(planner.run.module) == described(module)
    assert planned.exact_bytes.parameters == measured.parameter_bytes
    assert planned.exact_bytes.gradients == measured.gradient_bytes
    assert planned.exact_bytes.saved_for_backward == measured.saved_bytes
    assert planned.exact_bytes.optimizer_state == tensor_bytes(states)
    assert planned.operations == measured.operations
    assert planned.peak_bytes == peak > planned.exact_bytes.total


def observed_step(module: RecommenderModule, batch: SequenceBatch, states: list[torch.Tensor]) -> tuple[StepCost, int]:
    """Run a step with values; return its cost and the most bytes that lived during it."""
    live = LiveBytes()
    live.hold([*module.parameters(), *module.buffers(), *states, *batch.tensors()])
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
            live.hold([parameter.grad])
    with live:
        cost = observe_step(module, batch)
    return cost, live.peak


@pytest.mark.parametrize("accelerator", ["cpu", pytest.param("gpu", marks=pytest.mark.slow)])
def test_a_larger_batch_takes_more_memory(accelerator: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "ln_tuning", trainer={"accelerator": accelerator}, towers={"image": None})
    planner = StepPlanner(settings, num_items=100, sequence_length=10)
    smaller = planner.plan(SHAPE)
    for size, value in {"num_users": 64, "num_items": 64, "title_tokens": {"text": 64}}.items():
        larger = planner.plan(replace(SHAPE, **{size: value}))
        assert smaller.exact_bytes.total < larger.exact_bytes.total
        assert smaller.peak_bytes < larger.peak_bytes
        assert smaller.operations < larger.operations


def test_nothing_of_the_planned_size_is_allocated(tmp_path: Path) -> None:
    """A table of a hundred million items is planned like any other."""
    planner = StepPlanner(settings_of(tmp_path, "id"), num_items=10**8, sequence_length=10)
    planned = planner.plan(BatchShape(num_users=2, num_items=4))
    assert planned.exact_bytes.parameters > 4 * 8 * 10**8
    assert planned.exact_bytes.optimizer_state > 2 * 4 * 8 * 10**8


@pytest.mark.parametrize(
    ("accelerator", "placement", "is_counted"),
    [
        ("gpu", "auto", True),
        ("gpu", "device", True),
        ("gpu", "host", False),
        ("gpu", "disk", False),
        ("cpu", "auto", True),
        ("cpu", "host", True),
        ("cpu", "disk", False),
    ],
)
def test_a_store_counts_where_the_device_holds_it(
    accelerator: str, placement: str, is_counted: bool, tmp_path: Path
) -> None:
    settings = settings_of(
        tmp_path,
        "frozen_cached",
        trainer={"accelerator": accelerator},
        hidden_states={"placement": placement},
        towers={"image": None},
    )
    store_bytes = 100_000 * WIDTH * 4
    planned = StepPlanner(settings, num_items=100_000, sequence_length=10).plan(SHAPE)
    assert (planned.peak_bytes > store_bytes) == is_counted


def test_checkpointed_activations_are_planned_away(tmp_path: Path) -> None:
    plain = settings_of(tmp_path, "full")
    settings = settings_of(tmp_path, "full", trainer={"gradient_checkpointing": True})
    shape = read_workload(settings).batches(settings).first
    first = planner_of(settings).plan(shape)
    assert first.exact_bytes.saved_for_backward < planner_of(plain).plan(shape).exact_bytes.saved_for_backward
    module, split = real_module(settings)
    measured = probe_step(module, first_batch(settings, module, split))
    assert first.exact_bytes.saved_for_backward == measured.saved_bytes
    assert first.operations == measured.operations


@pytest.mark.parametrize("strategy", ["full", "loha"])  # LoHa draws a number in each layer
def test_what_is_computed_again_is_computed_as_before(strategy: str, tmp_path: Path) -> None:
    """By CUDA's kernels, and with the same answers to draws, which torch suspends while it goes backward."""
    trainer = {"accelerator": "gpu", "precision": "bf16-mixed"}
    plain = settings_of(tmp_path, strategy, trainer=trainer)
    again = settings_of(tmp_path, strategy, trainer={**trainer, "gradient_checkpointing": True})
    first, second = planner_of(plain).plan(SHAPE), planner_of(again).plan(SHAPE)
    assert second.exact_bytes.saved_for_backward < first.exact_bytes.saved_for_backward
    assert second.operations > first.operations


class IndexingWithTheMask(nn.Module):
    """Looks for its positions."""

    def forward(self, inputs: ObjectiveInputs) -> torch.Tensor:
        return inputs.states[inputs.mask[:, :-1]].square().mean() + inputs.embeddings.square().mean()


class AskingForANumber(nn.Module):
    """Makes a plain number of a tensor."""

    def forward(self, inputs: ObjectiveInputs) -> torch.Tensor:
        states = inputs.states.square().mean() + inputs.embeddings.square().mean()
        return states / inputs.mask.sum().item()


@pytest.mark.parametrize("objective", [IndexingWithTheMask, AskingForANumber])
def test_a_part_that_asks_for_values_is_one_error(
    objective: type[nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FullSoftmax, "build", lambda *_, **__: objective())
    node = {"_target_": "peftrec.objectives.full_softmax.FullSoftmax"}
    planner = StepPlanner(settings_of(tmp_path, "id", objective=node), num_items=20, sequence_length=10)
    with pytest.raises(SettingsError, match=r"cannot be planned.*valid_positions\(\).*\.item\(\)"):
        planner.plan(SHAPE)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("strategy", ["full", "lora", "iisan", "iisan_cached"])
def test_the_planned_peak_is_what_cuda_allocates(strategy: str, precision: str, tmp_path: Path) -> None:
    trainer = {"accelerator": "gpu", "precision": precision, "max_epochs": 1}
    towers = {"_target_": "peftrec.towers.pair.TowerPair"}
    for name, kind in (("text", "bert"), ("image", "vit")):
        towers[name] = {"architecture": {"model_type": kind, "num_hidden_layers": 4}, "random_init": True}  # type: ignore[assignment]
    towers["text"]["tokenizer"] = "package:tiny_towers/bert"  # type: ignore[index]
    settings = settings_of(tmp_path, strategy, trainer=trainer, towers=towers)
    efficiency = read_record(train_run(settings).run_directory).efficiency
    assert efficiency is not None
    planned = planner_of(settings).plan(read_workload(settings).batches(settings).largest)
    assert efficiency.cuda_max_allocated_bytes == pytest.approx(planned.peak_bytes, rel=0.10, abs=96 * 2**20)
