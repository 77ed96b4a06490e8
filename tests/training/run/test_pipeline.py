"""A run from settings to record: what it leaves, how it resumes, and what it refuses."""

import errno
import functools
import json
import multiprocessing
import os
import re
import signal
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from peftrec.errors import CheckpointError, RecordError, SettingsError, StoreError, UserError
from peftrec.evaluation.metrics import ranking_metrics
from peftrec.evaluation.ranking import NonFiniteScoresError
from peftrec.progress.quiet import quieten_libraries
from peftrec.results.process import birth_of
from peftrec.results.record import Record, read_record, write_record
from peftrec.results.runs import find_runs
from peftrec.settings.run import settings_from_config
from peftrec.training.checkpoint import BEST, LAST, checkpoint_path
from peftrec.training.measurement.allocations import AllocationLog
from peftrec.training.module import RecommenderModule
from peftrec.training.run.pipeline import evaluate_run, train_run
from small_runs import small_config, small_settings

pytestmark = pytest.mark.integration

STRATEGIES = ("full", "iisan", "iisan_cached", "id")


def train(runs_dir: Path, strategy: str = "full", **changes: Any) -> tuple[Path, Record]:
    outcome = train_run(small_settings(runs_dir, strategy, **changes))
    assert outcome.status == "success"
    return outcome.run_directory, read_record(outcome.run_directory)


def ranks(run_directory: Path) -> pd.DataFrame:
    return pd.read_parquet(run_directory / "ranks.parquet")


Whole = Callable[[str], tuple[Path, Record]]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The finished run of a strategy, trained once; tests leave it as it is."""
    return functools.cache(lambda strategy: train(tmp_path_factory.mktemp(strategy), strategy, **changes_of(strategy)))


def changes_of(strategy: str) -> dict[str, Any]:
    """Let methods that spend a budget do so in one tower: they take longest."""
    return {"towers": {"image": None}} if strategy.startswith("allocat") else {}


@pytest.fixture(params=STRATEGIES)
def finished(request: pytest.FixtureRequest, whole_run: Whole) -> tuple[Path, Record]:
    return whole_run(request.param)


def test_the_record_is_complete(finished: tuple[Path, Record]) -> None:
    run_directory, record = finished
    assert record.status == "success"
    assert run_directory.name == record.run_id
    assert record.run_id.rpartition("-")[0] == record.strategy
    (stretch,) = record.stretches
    assert stretch.first_epoch == 0
    assert f"peftrec.strategies.{record.config['strategy']['_target_'].split('.')[-2]}" in stretch.modules  # type: ignore[call-overload, index, union-attr]
    assert stretch.conditions["threads"] == torch.get_num_threads()
    assert [epoch.epoch for epoch in record.epochs] == [0, 1, 2, 3]
    assert record.negatives_per_positive is not None
    assert 0 < record.negatives_per_positive < 100
    assert (stretch.num_devices, stretch.num_nodes) == (1, 1)
    assert record.config["trainer"]["precision"] == "32-true"  # type: ignore[call-overload, index]
    assert record.efficiency is not None
    optional = {
        "cuda_max_allocated_bytes",
        "cuda_max_reserved_bytes",
        "store_build_seconds",
        "store_bytes",
        "store_placement",
        "store_name",
        "amortised_seconds_per_epoch",
        "joules_per_epoch",
        "energy_source",
    }
    measured = {name for name, value in record.efficiency.model_dump().items() if value is not None}
    assert measured >= set(type(record.efficiency).model_fields) - optional
    assert (record.efficiency.store_bytes is not None) == (record.strategy == "iisan_cached")
    assert record.efficiency.store_placement == ("host" if record.strategy == "iisan_cached" else None)
    assert record.chosen_epoch == max(range(4), key=lambda epoch: (record.epochs[epoch].validation["hr@10"], -epoch))
    assert record.checkpoint_bytes == checkpoint_path(run_directory, BEST).stat().st_size


def test_the_recorded_figures_follow_from_the_ranks(finished: tuple[Path, Record]) -> None:
    run_directory, record = finished
    table = ranks(run_directory)
    assert record.evaluation is not None
    assert record.evaluation.test == ranking_metrics(table["rank"].to_numpy(), table["is_unreachable"].to_numpy())
    assert record.data is not None
    assert len(table) == record.data.num_users == 64
    assert table["is_cold"].sum() == record.data.num_cold_test
    assert record.evaluation.test_segments["warm"]["num_users"] == (~table["is_cold"]).sum()


def test_evaluation_from_the_recorded_config_equals_the_runs_own(finished: tuple[Path, Record]) -> None:
    run_directory, record = finished
    assert record.evaluation is not None
    evaluation = evaluate_run(run_directory)
    assert evaluation == record.evaluation


def test_parameters_by_origin_add_up(finished: tuple[Path, Record]) -> None:
    parameters = finished[1].parameters
    assert parameters is not None
    counts = parameters.by_origin.values()
    assert parameters.trainable == sum(origin["trainable"] for origin in counts)
    assert parameters.trainable == sum(int(group["parameters"]) for group in parameters.groups.values())
    assert parameters.total == sum(origin["trainable"] + origin["frozen"] for origin in counts)


def test_exact_bytes_follow_from_the_parameters(finished: tuple[Path, Record]) -> None:
    record = finished[1]
    assert record.parameters is not None
    assert record.efficiency is not None
    exact = record.efficiency.exact_bytes
    assert exact is not None
    num_trained = sum(not role.endswith("/frozen") for role in record.parameters.role.values())
    assert exact.parameters == 4 * record.parameters.total
    assert exact.gradients == 4 * record.parameters.trainable
    assert exact.optimizer_state == 8 * record.parameters.trainable + 4 * num_trained  # two moments, one step counter
    assert record.efficiency.memory_source == "cpu_allocator"
    assert record.efficiency.peak_memory_bytes is not None
    assert record.efficiency.peak_memory_bytes > exact.total, "what only passes counts as well"


def test_checkpoints_hold_trainable_tensors_and_plain_data(finished: tuple[Path, Record]) -> None:
    run_directory, record = finished
    assert record.parameters is not None
    trained = {name for name, role in record.parameters.role.items() if not role.endswith("/frozen")}
    for name in (BEST, LAST):
        checkpoint = torch.load(checkpoint_path(run_directory, name), weights_only=True)
        assert set(checkpoint["state_dict"]) == {f"recommender.{key}" for key in trained}


def test_a_finished_run_is_not_run_again(finished: tuple[Path, Record]) -> None:
    run_directory, record = finished
    before = {path: path.stat().st_mtime_ns for path in run_directory.rglob("*")}
    again = train_run(settings_from_config(record.config))
    assert again.run_directory == run_directory
    assert {path: path.stat().st_mtime_ns for path in run_directory.rglob("*")} == before


@pytest.mark.parametrize("names", [("iisan", "iisan_cached"), ("lora_top", "lora_cached")])
def test_stored_and_live_states_give_the_same_scores(whole_run: Whole, names: tuple[str, str]) -> None:
    (live_run, live), (stored_run, stored) = map(whole_run, names)
    for first, second in zip(live.epochs, stored.epochs, strict=True):
        assert first.training_loss == pytest.approx(second.training_loss, rel=1e-5)
    assert ranks(live_run)["rank"].corr(ranks(stored_run)["rank"]) > 0.9999
    assert live.efficiency is not None
    assert stored.efficiency is not None
    assert stored.efficiency.peak_memory_bytes < live.efficiency.peak_memory_bytes  # type: ignore[operator]


@pytest.mark.parametrize(
    "strategy",
    [
        *("full", "iisan_cached", "allocating", "allocated"),
        *(pytest.param(twin, marks=pytest.mark.slow) for twin in ("iisan", "id")),
    ],
)
def test_a_crash_in_an_epoch_costs_that_epoch_and_changes_nothing(
    strategy: str,
    whole_run: Whole,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole_directory, whole = whole_run(strategy)
    capsys.readouterr()
    original = RecommenderModule.training_step

    def crash_in_third_epoch(self: RecommenderModule, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 10:  # four steps an epoch
            raise MemoryError("for the test")
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(RecommenderModule, "training_step", crash_in_third_epoch)
        with pytest.raises(MemoryError):
            train_run(small_settings(tmp_path / "crashed", strategy, **changes_of(strategy)))
    (crashed_directory,) = (tmp_path / "crashed" / "small").iterdir()
    crashed = read_record(crashed_directory)
    assert crashed.status == "out_of_memory"
    assert crashed.error == "MemoryError: for the test"
    assert [epoch.epoch for epoch in crashed.epochs] == [0, 1]
    steps = []

    def count(self: RecommenderModule, batch: Any, batch_idx: int) -> Any:
        steps.append(self.global_step)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(RecommenderModule, "training_step", count)
    assert "resumes" not in capsys.readouterr().err
    resumed_directory, resumed = train(tmp_path / "crashed", strategy, **changes_of(strategy))
    assert resumed_directory == crashed_directory
    assert f"{crashed_directory}: resumes where it was: 2 of 4 epochs are done\n" in capsys.readouterr().err
    assert steps == list(range(8, 16))
    assert resumed.evaluation == whole.evaluation
    assert [epoch.validation for epoch in resumed.epochs] == [epoch.validation for epoch in whole.epochs]
    assert [epoch.training_loss for epoch in resumed.epochs] == [epoch.training_loss for epoch in whole.epochs]
    pd.testing.assert_frame_equal(ranks(resumed_directory), ranks(whole_directory))
    tensors = [
        torch.load(checkpoint_path(directory, LAST), weights_only=True)["state_dict"]
        for directory in (whole_directory, resumed_directory)
    ]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def test_looking_at_memory_changes_no_bit(whole_run: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole run, and one that resumed in its second epoch, where other conditions make it look anew, against a run
    that never looks."""
    original, watched = RecommenderModule.training_step, whole_run("full")

    def crash_in_second_epoch(self: RecommenderModule, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 5:  # four steps an epoch
            raise MemoryError("for the test")
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(RecommenderModule, "training_step", crash_in_second_epoch)
        with pytest.raises(MemoryError):
            train_run(small_settings(tmp_path / "resumed"))
    resumed = train(tmp_path / "resumed", trainer={"decoded_image_bytes": 0})
    with monkeypatch.context() as patched:
        patched.setattr(AllocationLog, "start", lambda _: None)
        patched.setattr(AllocationLog, "stop", lambda _: 0)
        blind = train(tmp_path / "blind")
    losses, tensors = [], []
    for directory, record in (watched, resumed, blind):
        losses.append([epoch.training_loss for epoch in record.epochs])
        tensors.append(torch.load(checkpoint_path(directory, LAST), weights_only=True)["state_dict"])
    assert losses[0] == losses[1] == losses[2]
    for name, tensor in tensors[2].items():
        assert torch.equal(tensor, tensors[0][name]), name
        assert torch.equal(tensor, tensors[1][name]), name
    sizes = [record.efficiency.peak_memory_bytes for _, record in (watched, resumed, blind) if record.efficiency]
    assert all(sizes)
    assert sizes[2] < min(sizes[0], sizes[1]), "who is blind sees what stood there before, and no step"  # type: ignore[operator, type-var]


def test_costs_of_other_conditions_are_left_behind(
    whole_run: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that goes on with other workers ends as it would have, and its costs are those of the last conditions."""
    original = RecommenderModule.training_step

    def crash_in_third_epoch(self: RecommenderModule, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 8:  # four steps an epoch
            raise MemoryError("for the test")
        return original(self, batch, batch_idx)

    _, whole = whole_run("iisan_cached")
    resumed = {}
    for name, changes in {
        "same": {"evaluation": {"max_score_bytes": 65_536}},
        "other": {"hidden_states": {"placement": "disk"}},
    }.items():
        with monkeypatch.context() as patched:
            patched.setattr(RecommenderModule, "training_step", crash_in_third_epoch)
            with pytest.raises(MemoryError):
                train_run(small_settings(tmp_path / name, "iisan_cached"))
        _, resumed[name] = train(tmp_path / name, "iisan_cached", **changes)
        assert resumed[name].evaluation == whole.evaluation
    assert capsys.readouterr().err.count("resumed under other conditions: costs are those from epoch 3 on") == 1
    costs = {name: record.efficiency for name, record in resumed.items()}
    assert costs["same"] is not None
    assert costs["other"] is not None
    times = [epoch.training_seconds for epoch in resumed["other"].epochs]
    assert costs["other"].seconds_per_epoch == times[3], "epoch 3 is the first of these conditions and pays for them"
    assert costs["other"].seconds_to_best_epoch is None
    assert costs["other"].exact_bytes is not None
    times = [epoch.training_seconds for epoch in resumed["same"].epochs]
    assert costs["same"].seconds_per_epoch == statistics.median(times[1:])
    assert costs["same"].seconds_to_best_epoch is not None


def test_a_run_too_short_for_its_adaptation_is_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_nothing(*arguments: Any, **keywords: Any) -> None:
        raise AssertionError("a step was taken")

    monkeypatch.setattr(RecommenderModule, "training_step", train_nothing)
    with pytest.raises(SettingsError, match="tinit=2 and tfinal=9 leave none of the run's 8 steps"):
        train_run(small_settings(tmp_path, "allocated", trainer={"max_epochs": 2}))


@pytest.mark.parametrize("patience", [1, 10])
def test_a_crash_after_the_last_epoch_trains_no_further(
    patience: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where early stopping, and not the number of epochs, had ended training."""
    changes = {
        "evaluation": {"patience": patience},
        "trainer": {"max_epochs": 12},
        "learning_rates": {"recommender": 0.1},
    }
    _, whole = train(tmp_path / "whole", "id", **changes)
    assert (len(whole.epochs) < 12) == (patience == 1)

    def crash(*arguments: Any, **keywords: Any) -> None:
        raise MemoryError("for the test")

    with monkeypatch.context() as patched:
        patched.setattr("peftrec.training.run.pipeline.evaluate_test", crash)
        with pytest.raises(MemoryError):
            train_run(small_settings(tmp_path / "crashed", "id", **changes))
        patched.undo()
        patched.setattr(RecommenderModule, "training_step", crash)
        _, resumed = train(tmp_path / "crashed", "id", **changes)
    assert resumed.evaluation == whole.evaluation
    assert [epoch.validation for epoch in resumed.epochs] == [epoch.validation for epoch in whole.epochs]


def test_the_hash_covers_what_decides_the_result_and_nothing_else(tmp_path: Path) -> None:
    base, _ = train(tmp_path / "a", "id", trainer={"max_epochs": 1})
    same, _ = train(
        tmp_path / "b", "id", name="other", trainer={"max_epochs": 1, "num_workers": 2}, logger={"csv": False}
    )
    assert not multiprocessing.active_children(), "loader workers end with the training"
    assert same.name == base.name
    without_effect = {"strategy": "ddp", "gradient_checkpointing": True, "accumulate_batches": 1}
    again, _ = train(tmp_path / "a", "id", trainer={"max_epochs": 1, "precision": "32-true", **without_effect})
    assert again == base, "a finished run is found again"
    assert ranks(same).equals(ranks(base))
    assert not (same / "epochs.csv").exists()
    for change in ({"seed": 2}, {"batch_size": 8}, {"data": {"catalogue_seed": 5}}):
        other, _ = train(tmp_path / "a", "id", **{"trainer": {"max_epochs": 1}, **change})
        assert other.name != base.name
    for decisive in ({"accumulate_batches": 2}, {"precision": "bf16-mixed"}):
        other, _ = train(tmp_path / "a", "id", trainer={"max_epochs": 1, **decisive})
        assert other.name != base.name


def test_ctrl_c_is_an_interruption_and_leaving_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning makes a SystemExit of the one; the other is how a job leaves that Slurm starts again."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # it ignores Ctrl-C from then on
    for error in (KeyboardInterrupt, SystemExit):

        def stop(*_: object, error: type[BaseException] = error) -> None:
            raise error

        monkeypatch.setattr(RecommenderModule, "training_step", stop)
        with pytest.raises(error):
            train_run(small_settings(tmp_path, "id", trainer={"max_epochs": 1}))
        (run,) = find_runs(tmp_path)
        assert (run.record.status, run.record.error) == ("interrupted", f"{error.__name__}: ")


def test_ctrl_c_while_a_checkpoint_is_written_is_an_interruption_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object, **__: object) -> None:
        """As torch does: what closes the file finds it shorter than it expects."""
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("unexpected pos 377600 vs 377488")

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(torch, "save", break_off)
    with pytest.raises(KeyboardInterrupt):
        train_run(small_settings(tmp_path, "id", trainer={"max_epochs": 1}))
    (run,) = find_runs(tmp_path)
    assert run.record.status == "interrupted"
    assert not list(tmp_path.rglob("*.partial"))


def test_a_folder_that_a_dangling_link_stands_for_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(tmp_path / "nowhere" / "at all")
    with pytest.raises(UserError, match="set runs_dir=DIR"):
        train_run(small_settings(tmp_path / "runs", "id", trainer={"max_epochs": 1}))


def test_who_asks_for_what_is_finished_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_directory, _ = train(tmp_path, trainer={"max_epochs": 1})
    capsys.readouterr()
    train(tmp_path, trainer={"max_epochs": 1})
    assert capsys.readouterr().err == f"finished already: {run_directory}\n"
    train(tmp_path, trainer={"max_epochs": 1, "compile": True, "num_workers": 2})
    said = capsys.readouterr().err
    assert "it was not trained with trainer.compile=true, trainer.num_workers=2: to measure that, set name=NAME" in said


def test_a_run_that_another_process_runs_is_left_alone(tmp_path: Path) -> None:
    run_directory, record = train(tmp_path, trainer={"max_epochs": 1})
    parent = record.process.model_copy(update={"process_id": os.getppid(), "birth": birth_of(os.getppid())})
    write_record(record.model_copy(update={"status": "running", "process": parent}), run_directory)
    with pytest.raises(UserError, match=f"process {os.getppid()} .* runs this already"):
        train_run(settings_from_config(record.config))
    gone = parent.model_copy(update={"process_id": 2**22 + 1})
    write_record(record.model_copy(update={"status": "running", "process": gone}), run_directory)
    assert train_run(settings_from_config(record.config)).status == "success"


def test_a_store_is_built_once_and_a_stale_or_truncated_one_refused(tmp_path: Path) -> None:
    train(tmp_path, "iisan_cached", trainer={"max_epochs": 1})
    (folder,) = (tmp_path / "hidden_states").iterdir()
    built = (folder / "manifest.json").stat().st_mtime_ns
    train(tmp_path, "iisan_cached", trainer={"max_epochs": 2})
    assert (folder / "manifest.json").stat().st_mtime_ns == built
    manifest = json.loads((folder / "manifest.json").read_text())
    whole = (folder / "text.npy").read_bytes()
    (folder / "text.npy").write_bytes(whole[:-100])
    with pytest.raises(StoreError, match=rf"text\.npy: truncated.*delete {folder}"):
        train(tmp_path, "iisan_cached", trainer={"max_epochs": 3})
    (folder / "text.npy").write_bytes(whole)
    manifest["key"]["towers"]["text"]["weights"] = "another tower"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="the store is stale, its towers differ"):
        train(tmp_path, "iisan_cached", trainer={"max_epochs": 3})


def test_scores_that_are_not_finite_fail_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        RecommenderModule, "encode_catalogue", lambda self: torch.full((len(self.log_popularity), 8), torch.nan)
    )
    with pytest.raises(NonFiniteScoresError):
        train(tmp_path)
    (run_directory,) = (tmp_path / "small").iterdir()
    assert read_record(run_directory).status == "failed"


def test_evaluation_refuses_changed_data_and_foreign_checkpoints(tmp_path: Path) -> None:
    first, record = train(tmp_path, trainer={"max_epochs": 1})
    second, _ = train(tmp_path, trainer={"max_epochs": 1}, embedding_dim=12)
    best = checkpoint_path(first, BEST)
    kept = best.read_bytes()
    best.write_bytes(checkpoint_path(second, BEST).read_bytes())
    with pytest.raises(CheckpointError, match=r"best\.ckpt.*another configuration"):
        evaluate_run(first)
    best.unlink()
    with pytest.raises(CheckpointError, match=r"best\.ckpt: missing"):
        evaluate_run(first)
    best.write_bytes(kept)
    changed = small_config(tmp_path, data={"catalogue_seed": 3}, trainer={"max_epochs": 1})
    write_record(record.model_copy(update={"config": changed}), first)
    with pytest.raises(RecordError, match="data_hash differs"):
        evaluate_run(first)


def test_an_output_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="runs_dir=DIR"):
        train_run(small_settings(tmp_path / "file" / "runs"))


def test_a_full_disk_is_one_clear_error_and_leaves_no_half_file(
    whole_run: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    calls = []

    def fill_up(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 12:  # somewhere in the first epochs' checkpoints
            raise OSError(errno.ENOSPC, "No space left on device", handle)
        real(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fill_up)
        with pytest.raises(UserError, match=r"small/full-\w+: No space left on device.*this one resumes"):
            train_run(small_settings(tmp_path))
    assert not list(tmp_path.rglob("*.partial"))
    (run_directory,) = (tmp_path / "small").iterdir()
    assert read_record(run_directory).epochs
    resumed, record = train(tmp_path)
    whole, expected = whole_run("full")
    assert record.evaluation == expected.evaluation
    assert np.array_equal(ranks(resumed)["rank"], ranks(whole)["rank"])


@pytest.mark.parametrize("place", ["elsewhere/pictures.zip", "small/elsewhere"])
@pytest.mark.parametrize("named", [str, os.fsencode])
def test_what_is_no_file_of_the_run_is_said_without_its_key(
    place: str, named: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / place

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", named(file))

    monkeypatch.setattr("peftrec.training.run.pipeline._run", refuse)
    with pytest.raises(PermissionError, match=re.escape(str(file))):
        train_run(small_settings(tmp_path))
    (run,) = find_runs(tmp_path)
    assert run.record.status == "failed"


def test_a_mistake_that_building_the_model_finds_leaves_no_run(tmp_path: Path) -> None:
    config = small_config(tmp_path, "iisan")
    config["strategy"] = {**config["strategy"], "layers": [9]}
    with pytest.raises(SettingsError, match=r"strategy\.layers"):
        train_run(settings_from_config(config))
    assert not list(tmp_path.rglob("record.json"))
    assert not (tmp_path / "small").exists()


def test_such_a_mistake_leaves_an_interrupted_run_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine or other libraries may find it when a run is to go on."""
    run_directory, record = train(tmp_path, "id", trainer={"max_epochs": 1})
    interrupted = record.model_copy(update={"status": "interrupted", "error": "KeyboardInterrupt: "})
    write_record(interrupted, run_directory)
    before = {path: path.read_bytes() for path in run_directory.rglob("*") if path.is_file()}

    def refuse(*arguments: Any) -> None:
        raise SettingsError("for the test")

    monkeypatch.setattr("peftrec.training.run.pipeline.assemble", refuse)
    with pytest.raises(SettingsError, match="for the test"):
        train_run(small_settings(tmp_path, "id", trainer={"max_epochs": 1}))
    assert {path: path.read_bytes() for path in run_directory.rglob("*") if path.is_file()} == before


def test_the_number_of_loader_workers_is_the_users_choice_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbers: Any = range(3)
        with pytest.raises(UserWarning, match="worker processes in total"):
            DataLoader(numbers, num_workers=10_000)
        quieten_libraries()
        DataLoader(numbers, num_workers=10_000)
        with pytest.raises(UserWarning, match="another"):
            warnings.warn("another of the DataLoader", UserWarning, stacklevel=1)
