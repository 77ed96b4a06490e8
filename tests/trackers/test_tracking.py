"""Trackers are checked before a run, fed from its record, and never what a run ends by."""

import importlib.util
from pathlib import Path
from typing import ClassVar

import pytest

from made_up_records import STRATEGIES, made_up_ranks, made_up_record
from peftrec.errors import SettingsError
from peftrec.results.costs import Epoch
from peftrec.results.record import Record, read_record
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import LoggerSettings
from peftrec.trackers import tracking
from peftrec.trackers.tracker import Feed
from peftrec.training.run.pipeline import train_run
from small_runs import small_settings


class Notebook:
    """A tracker that notes what it is told, and fails where it is asked to."""

    name: ClassVar[str] = "Notebook"
    without: ClassVar[str] = "logger.notebook=false"
    failures = (OSError,)

    def __init__(self, *, has: int = 0, fails_at: str | int = "") -> None:
        self.has = has
        self.fails_at = fails_at
        self.epochs: list[int] = []
        self.ended: list[str] = []

    def begin(self) -> int:
        self._fail("begin")
        return self.has

    def log(self, epoch: Epoch) -> None:
        self._fail(epoch.epoch)
        self.epochs.append(epoch.epoch)

    def end(self, record: Record) -> None:
        self._fail("end")
        self.ended.append(record.status)

    def _fail(self, where: str | int) -> None:
        if where == self.fails_at:
            raise OSError(28, "No space left on device")


@pytest.fixture(scope="module")
def record() -> Record:
    return made_up_record(STRATEGIES[0], 1, made_up_ranks(0.3, 1, 50))


def test_each_epoch_is_told_once_those_before_a_resumption_too(record: Record) -> None:
    empty, ahead = Notebook(), Notebook(has=4)
    feed = Feed([empty, ahead], record)
    feed.after_epoch(record.epochs[:3])  # the first that a resumed run trains, after two that it has
    feed.after_epoch(record.epochs[:4])
    feed.end(record)
    assert empty.epochs == [0, 1, 2, 3, 4, 5]
    assert ahead.epochs == [4, 5]
    assert empty.ended == ahead.ended == ["success"]


@pytest.mark.parametrize("where", [1, "end"])
def test_one_that_fails_says_so_once_and_the_others_go_on(
    record: Record, where: str | int, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, whole = Notebook(fails_at=where), Notebook()
    feed = Feed([broken, whole], record)
    for number in range(1, 7):
        feed.after_epoch(record.epochs[:number])
    feed.end(record)
    assert (whole.epochs, whole.ended) == ([0, 1, 2, 3, 4, 5], ["success"])
    assert broken.ended == []
    said = capsys.readouterr().err
    assert said.count("warning: Notebook takes no more of this run ([Errno 28] No space left on device)") == 1


def test_one_that_cannot_begin_is_a_mistake_and_ends_those_that_had_begun(record: Record) -> None:
    begun = Notebook()
    with pytest.raises(
        SettingsError, match=r"Notebook began no run: .*; mend that, or leave it out: logger\.notebook="
    ):
        Feed([begun, Notebook(fails_at="begin")], record)
    assert begun.ended == ["failed"]


def test_a_run_outlives_its_tracker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "_asked", lambda *_: [Notebook(fails_at=0)])
    outcome = train_run(small_settings(tmp_path, "id", trainer={"max_epochs": 2}))
    assert outcome.status == "success"
    assert "Notebook takes no more" in capsys.readouterr().err


def test_a_tracker_that_cannot_begin_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_asked", lambda *_: [Notebook(fails_at="begin")])
    with pytest.raises(SettingsError, match="Notebook began no run"):
        train_run(small_settings(tmp_path, "id"))
    assert not list(tmp_path.rglob("record.json"))


def test_a_run_that_fails_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook()
    monkeypatch.setattr(tracking, "_asked", lambda *_: [notebook])

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("for the test")

    monkeypatch.setattr("peftrec.training.run.pipeline.evaluate_test", fail)
    with pytest.raises(MemoryError):
        train_run(small_settings(tmp_path, "id", trainer={"max_epochs": 2}))
    (file,) = tmp_path.rglob("record.json")
    assert notebook.ended == [read_record(file).status] == ["out_of_memory"]
    assert notebook.epochs == [0, 1]


@pytest.mark.parametrize("switch", ["tensorboard", "mlflow"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, switch: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == switch else find(name))
    with pytest.raises(SettingsError, match=rf'logger\.{switch}=true: .*pip install "peftrec\[{switch}\]"'):
        tracking.check_trackers(LoggerSettings(**{switch: True}), verifies=False)
    tracking.check_trackers(LoggerSettings(), verifies=False)


def test_a_missing_package_is_told_before_data_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise AssertionError("data was read")

    monkeypatch.setattr("peftrec.training.run.pipeline.prepare_data", read)
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="tensorboard is not installed"):
        train_run(small_settings(tmp_path, "id", logger={"tensorboard": True}))


@pytest.mark.parametrize("named", ["logger.mlflow_uri", "MLFLOW_TRACKING_URI"])
def test_a_server_that_does_not_answer_is_told_before_anything_else(
    named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("mlflow")
    dead = "http://127.0.0.1:9"  # discard: nothing listens there
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead if named.isupper() else "")
    own = {} if named.isupper() else {"mlflow_uri": dead}
    with pytest.raises(SettingsError, match=rf"mlflow=true: {dead} does not answer .*; correct {named}, leave it out"):
        train_run(small_settings(tmp_path, "id", logger={"mlflow": True, **own}))
    assert not list(tmp_path.rglob("record.json"))


def test_several_at_once() -> None:
    settings = compose_settings(["logger=[wandb,tensorboard,mlflow]"])
    assert settings.logger == LoggerSettings(csv=True, wandb="offline", tensorboard=True, mlflow=True)
    assert compose_settings(["logger=[tensorboard]"]).logger == LoggerSettings(tensorboard=True)
    assert compose_settings(["logger=wandb", "logger.tensorboard=true"]).logger == LoggerSettings(
        wandb="offline", tensorboard=True
    )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("logger=[wandb,tensorbord]", "did you mean tensorboard"),
        ("logger=[]", "name options"),
        ("logger=[wandb,[csv]]", "name options"),
        ("strategy=[lora,full]", "name one option"),
    ],
)
def test_only_loggers_stand_together_and_each_has_a_file(word: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        compose_settings([word])


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_USERNAME") as caught:
        compose_settings(["logger=mlflow", "logger.mlflow_uri='http://me:s3cret@tracking'"])
    assert "s3cret" not in str(caught.value)


@pytest.mark.slow
def test_of_two_processes_the_first_alone_logs(tmp_path: Path) -> None:
    """Each calls the same code, and only one of them may write the files."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from peftrec.jobs.launching import launch

    trainer = {"accelerator": "cpu", "devices": 2, "max_epochs": 2, "has_progress_bar": False}
    outcome = launch(small_settings(tmp_path, "id", trainer=trainer, logger={"tensorboard": True}))
    (file,) = tmp_path.rglob("events.out.tfevents.*")
    found = EventAccumulator(str(file.parent))
    found.Reload()
    assert outcome.status == "success"
    assert [event.step for event in found.Scalars("val_hr_at_10")] == [1, 2]
