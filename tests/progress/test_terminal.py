"""What is shown of work in progress, on a terminal and in a log."""

import re

import pytest
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from peftrec.cold_start.fitting import build_trainer
from peftrec.progress import terminal
from peftrec.progress.epochs import EpochBar
from peftrec.progress.terminal import counting


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test moves."""
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with counting("items encoded", 6000, line_seconds=30) as advance:
        for seconds, amount in ((29, 1000), (1, 500), (29, 500), (31, 1000)):
            clock[0] += seconds
            advance(amount)
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.splitlines() == [
        "items encoded: 1,500 of 6,000 after 0.5 min, 1.5 min left",
        "items encoded: 3,000 of 6,000 after 1.5 min, 1.5 min left",
    ]


def test_work_that_is_done_soon_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("items encoded", 10) as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")


def test_only_who_shows_counts(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with counting("items encoded", 10, is_shown=False) as advance:
        clock[0] += 1000
        advance(5)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(terminal, "shows_progress", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich draws nothing where standard output is no terminal
    with counting("items encoded", 10) as advance:
        advance(5)
        advance(5)
    found = capsys.readouterr()
    assert found.err == ""
    assert re.search(r"items encoded.*100%", found.out)


def test_epochs_of_a_small_training_are_counted(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    class Passing(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            clock[0] += 20

    trainer = build_trainer(4, "cpu")
    trainer.callbacks.insert(0, Passing())  # type: ignore[attr-defined]
    trainer.fit(BoringModel())
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epochs")]
    assert lines == [
        "epochs trained: 2 of 4 after 0.7 min, 0.7 min left",
        "epochs trained: 4 of 4 after 1.3 min, 0.0 min left",
    ]


def test_the_bar_counts_epochs_from_one() -> None:
    bar = EpochBar()
    bar._trainer = build_trainer(12, "cpu")
    assert [bar._get_train_description(epoch).rstrip() for epoch in (0, 11)] == ["Epoch 1/12", "Epoch 12/12"]
