"""Finished runs are found without beginning any, and what several share is read once."""

from dataclasses import replace
from pathlib import Path

import pytest

from peftrec.data.split import Split
from peftrec.errors import SettingsError
from peftrec.processes import ALONE, ProcessRank
from peftrec.settings.run import Settings
from peftrec.training.run import finished_runs
from peftrec.training.run.finished_runs import FinishedRuns
from peftrec.training.run.pipeline import train_run
from small_runs import small_settings

pytestmark = pytest.mark.integration


def short(runs_dir: Path, strategy: str, /, **changes: object) -> Settings:
    return small_settings(runs_dir, strategy, trainer={"max_epochs": 1}, **changes)


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for strategy in ("id", "frozen"):
        train_run(short(folder, strategy))
    return folder


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The strategies for which data was read."""
    original, found = finished_runs.prepare_data, list[str]()

    def counted(settings: Settings) -> Split:
        found.append(settings.strategy_name)
        return original(settings)

    monkeypatch.setattr(finished_runs, "prepare_data", counted)
    return found


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_finished_run_is_the_one_that_training_would_find(
    runs_dir: Path, readings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = FinishedRuns()
    for strategy in ("id", "frozen"):
        before = times(runs_dir)
        found = runs.find(short(runs_dir, strategy), ALONE)
        assert found is not None
        assert found.record.status == "success"
        assert times(runs_dir) == before, "nothing is begun and nothing written"
        outcome = train_run(short(runs_dir, strategy))
        assert (outcome.run_directory, outcome.was_finished) == (found.folder, True)
        assert capsys.readouterr().err.splitlines()[-1] == found.describe() == f"finished already: {found.folder}"
    assert readings == ["id", "frozen"], "which read different things of one data set"
    unfinished = ("lora", {}), ("id", {"seed": 2}), ("frozen", {"batch_size": 8}), ("frozen", {"seed": 2})
    assert [runs.find(short(runs_dir, strategy, **changes), ALONE) for strategy, changes in unfinished] == [None] * 4
    assert readings == ["id", "frozen"]


def test_what_a_finished_run_was_not_trained_with_is_said(runs_dir: Path) -> None:
    settings = short(runs_dir, "id")
    found = FinishedRuns().find(replace(settings, trainer=replace(settings.trainer, num_workers=1)), ALONE)
    assert found is not None
    assert found.describe().endswith("it was not trained with trainer.num_workers=1: to measure that, set name=NAME")


def test_the_number_of_processes_is_asked_where_it_decides(runs_dir: Path) -> None:
    """Each of several draws its own dropout."""
    assert FinishedRuns().find(short(runs_dir, "id"), ProcessRank(count=2)) is None


def test_other_data_is_another_run_and_is_seen_by_the_next_command(
    runs_dir: Path, readings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = FinishedRuns()
    assert runs.find(short(runs_dir, "id"), ALONE) is not None
    assert runs.find(short(runs_dir, "id", data={"num_users": 65}), ALONE) is None
    assert len(readings) == 2
    monkeypatch.setattr(finished_runs, "hashes_of_data", lambda *_: ("of files that were changed", {}))
    assert FinishedRuns().find(short(runs_dir, "id"), ALONE) is None


def test_what_could_not_begin_is_not_taken_for_finished(runs_dir: Path) -> None:
    settings = short(runs_dir, "id")
    with pytest.raises(SettingsError, match=r"trainer\.strategy: fsdp divides parameters"):
        FinishedRuns().find(replace(settings, trainer=replace(settings.trainer, strategy="fsdp")), ALONE)
