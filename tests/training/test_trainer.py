"""What the Trainer is built with: strategies that fit, the device's precision, blocks that keep only their inputs."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry

from peftrec.errors import SettingsError
from peftrec.evaluation.metrics import ranking_metrics
from peftrec.processes import ProcessRank
from peftrec.results.record import read_record
from peftrec.training import precision as precision_module
from peftrec.training import trainer
from peftrec.training.checkpoint import BEST, LAST, checkpoint_path
from peftrec.training.module import RecommenderModule
from peftrec.training.precision import explain_slow_precision, with_precision
from peftrec.training.run.pipeline import evaluate_run, train_run
from peftrec.training.run.restored_run import restore_run
from peftrec.training.run.scoring import rank_users
from peftrec.training.trainer import check_strategy, checkpoint_activations, lightning_strategy
from small_models import SMALL_PAIRS, item_batch
from small_runs import small_settings

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", StrategyRegistry.available_strategies())
def test_only_strategies_of_whole_parameters_and_given_processes_are_taken(name: str) -> None:
    if name in ("ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true"):
        check_strategy(name)
    else:
        with pytest.raises(SettingsError, match=rf"trainer\.strategy: {name} .*choose one of auto, ddp"):
            check_strategy(name)


def test_a_mistyped_strategy_ends_the_run_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"trainer\.strategy: dpd is no strategy of Lightning; did you mean ddp\?"):
        train_run(small_settings(tmp_path, "id", trainer={"strategy": "dpd"}))
    assert not list(tmp_path.iterdir())


def test_one_process_is_joined_with_nobody() -> None:
    assert lightning_strategy("ddp", ProcessRank()) == "auto"
    assert isinstance(lightning_strategy("auto", ProcessRank(count=2)), DDPStrategy)
    name = "ddp_find_unused_parameters_true"
    assert lightning_strategy(name, ProcessRank(count=2)) == name


def test_a_log_has_a_line_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where there is no terminal; the figures are the record's, and who wants no progress gets none."""
    monkeypatch.setattr(trainer, "shows_progress", lambda: False)
    outcome = train_run(small_settings(tmp_path, "id", trainer={"has_progress_bar": True, "max_epochs": 2}))
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("epoch ")]
    epochs = read_record(outcome.run_directory).epochs
    assert len(lines) == len(epochs) == 2
    for number, (line, epoch) in enumerate(zip(lines, epochs, strict=True), start=1):
        loss, quality = epoch.training_loss, epoch.validation["hr@10"]
        assert line.startswith(f"epoch {number}/2: loss {loss:.4f}, val/hr@10 {quality:.4f}, ")
        assert line.endswith(" s")
    train_run(small_settings(tmp_path / "silent", "id", trainer={"max_epochs": 2}))
    assert "epoch" not in capfd.readouterr().err


def test_devices_need_their_processes(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"trainer\.devices=2 .*do not fit the 1 processes on 1 nodes"):
        train_run(small_settings(tmp_path, "id", trainer={"devices": 2}))


@pytest.mark.parametrize(
    ("device", "supported", "expected"),
    [("cpu", True, "32-true"), ("mps", True, "32-true"), ("cuda", True, "bf16-mixed"), ("cuda", False, "32-true")],
)
def test_precision_is_what_the_device_has(
    device: str, supported: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    settings = small_settings(tmp_path).trainer
    assert settings.precision == "auto"
    assert with_precision(settings, torch.device(device)).precision == expected
    chosen = small_settings(tmp_path, trainer={"precision": "bf16-mixed"}).trainer
    assert with_precision(chosen, torch.device(device)) == chosen


def test_float16_is_refused_where_bfloat16_would_be_computed_under_its_name(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, "id", trainer={"precision": "16-mixed", "accelerator": "cpu"})
    with pytest.raises(SettingsError, match=r"16-mixed: a CPU .*trainer\.precision=bf16-mixed"):
        train_run(settings)
    assert not list(tmp_path.rglob("record.json"))
    assert with_precision(settings.trainer, torch.device("cuda")) == settings.trainer


@pytest.mark.parametrize(
    ("precision", "has_products", "says_so"),
    [("bf16-mixed", False, True), ("bf16-true", False, True), ("bf16-mixed", True, False), ("32-true", False, False)],
)
def test_emulated_arithmetic_is_said_to_be_slow(
    precision: str,
    has_products: bool,
    says_so: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(precision_module, "has_bfloat16_products", lambda: has_products)
    explain_slow_precision(precision, torch.device("cuda"))
    assert not capsys.readouterr().err
    explain_slow_precision(precision, torch.device("cpu"))
    said = capsys.readouterr().err
    assert (f"trainer.precision={precision}: this CPU" in said) == says_so
    assert ("trainer.precision=32-true" in said) == says_so


@pytest.mark.parametrize("trains", [True, False])
def test_checkpointed_blocks_give_the_same_gradients_and_keep_less(trains: bool) -> None:
    batch = item_batch(9, SMALL_PAIRS["text_and_image"])

    def step(is_checkpointed: bool) -> tuple[list[torch.Tensor], int]:
        towers = SMALL_PAIRS["text_and_image"].load(seed=0).requires_grad_(trains).train()
        if is_checkpointed:
            checkpoint_activations(towers)
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        scale = torch.ones((), requires_grad=True)
        torch.manual_seed(0)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = sum(vectors.square().sum() for vectors in towers(batch).values())
        (loss * scale).backward()
        return [p.grad for p in towers.parameters() if p.grad is not None], sum(kept.values())

    (plain, plain_bytes), (checkpointed, checkpointed_bytes) = step(False), step(True)
    assert len(checkpointed) == len(plain)
    assert bool(plain) == trains
    assert all(torch.equal(one, other) for one, other in zip(plain, checkpointed, strict=True))
    assert (checkpointed_bytes < plain_bytes / 2) == trains


@pytest.mark.parametrize("is_stored", [False, True])
def test_checkpointing_lets_no_gradient_below_the_lowest_open_block(is_stored: bool) -> None:
    """transformers lets the embedded words have one, and so all that is made of them."""
    pair = SMALL_PAIRS["text_only"]
    towers, batch = pair.load(seed=0), item_batch(9, pair)
    tower = next(iter(towers.present().values()))
    tower.freeze_below(2)
    if is_stored:
        with torch.no_grad():
            stored = towers.eval().token_states(batch, {"text": (2,)})
        towers.start_from_stored({"text": (2,)})
        batch = replace(batch, states=stored)
    checkpoint_activations(towers.train())
    entering: dict[int, bool] = {}
    with tower.visiting(on_input=lambda place, tokens: entering.update({place: tokens.requires_grad})):
        towers(batch)["text"].sum().backward()
    assert entering == {place: place > 2 for place in range(tower.num_blocks)}
    trained = [part for block in tower.blocks()[2:] for part in block.parameters()]
    assert all(part.grad is not None for part in trained)
    assert all(part.grad is None for part in tower.parameters() if not part.requires_grad)


def test_batches_of_one_step_draw_their_own_dropout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    original = RecommenderModule.training_step

    def note(self: RecommenderModule, batch: object, batch_idx: int) -> object:
        drawn.append((self.global_step, torch.initial_seed()))
        return original(self, batch, batch_idx)  # type: ignore[arg-type]

    monkeypatch.setattr(RecommenderModule, "training_step", note)
    settings = small_settings(tmp_path, "id", batch_size=8, trainer={"accumulate_batches": 2, "max_epochs": 2})
    assert train_run(settings).status == "success"
    assert [step for step, _ in drawn] == [step for step in range(8) for _ in range(2)]
    assert len({seed for _, seed in drawn}) == len(drawn)


def test_eight_batches_make_one_step(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, "id", batch_size=8, trainer={"accumulate_batches": 8, "max_epochs": 1})
    directory = train_run(settings).run_directory
    checkpoint = torch.load(checkpoint_path(directory, LAST), weights_only=True)
    assert checkpoint["global_step"] == 1


@pytest.mark.parametrize("strategy", ["full", "iisan_cached"])
def test_everything_in_bfloat16_trains_and_is_scored_again(strategy: str, tmp_path: Path) -> None:
    settings = small_settings(tmp_path, strategy, trainer={"precision": "bf16-true", "max_epochs": 2})
    directory = train_run(settings).run_directory
    record = read_record(directory)
    assert evaluate_run(directory) == record.evaluation
    assert record.efficiency is not None
    assert record.efficiency.exact_bytes is not None
    assert record.parameters is not None
    assert record.efficiency.exact_bytes.parameters == 2 * record.parameters.total


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_validation_ranks_in_float32_as_the_test_does(precision: str, tmp_path: Path) -> None:
    """Lightning runs validation steps under autocast: scores of eight bits would tie with each other."""
    outcome = train_run(small_settings(tmp_path, "id", trainer={"precision": precision, "max_epochs": 2}))
    run = restore_run(outcome.run_directory)
    chosen = next(epoch for epoch in run.record.epochs if epoch.epoch == run.record.chosen_epoch)
    length = run.split.sequence_length
    ranked = rank_users(run.module, run.split.validation, sequence_length=length, block=64)
    assert chosen.validation == pytest.approx(ranking_metrics(ranked.ranks, ranked.is_unreachable), abs=1e-6)


@pytest.mark.slow
def test_a_compiled_run_trains_alike_and_is_scored_without_the_compiler(tmp_path: Path) -> None:
    """In processes of their own: the compiler cannot read code that checks shapes."""
    command = [sys.executable, "-m", "peftrec", "train", "strategy=id", "data.num_users=64", "data.num_items=100"]
    changes = ["trainer.max_epochs=2", "trainer.accelerator=cpu", "user_encoder.dropout=0.0"]
    for folder, compiles in (("plain", "false"), ("compiled", "true")):
        last = [f"trainer.compile={compiles}", f"runs_dir={tmp_path / folder}"]
        done = subprocess.run([*command, *changes, *last], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    ((plain,), (compiled,)) = ([*(tmp_path / folder / "default").iterdir()] for folder in ("plain", "compiled"))
    assert compiled.name == plain.name
    record, expected = read_record(compiled), read_record(plain)
    for one, other in zip(record.epochs, expected.epochs, strict=True):
        assert one.training_loss == pytest.approx(other.training_loss, rel=1e-4)
    assert record.efficiency is not None
    assert expected.efficiency is not None
    assert record.efficiency.exact_bytes == expected.efficiency.exact_bytes
    assert evaluate_run(compiled) == record.evaluation
    names = [
        set(torch.load(checkpoint_path(each, BEST), weights_only=True)["state_dict"]) for each in (plain, compiled)
    ]
    assert names[0] == names[1]
