"""After a sweep: each run that went to W&B has its TPME, and one run has the report's files; read back by W&B."""

import json
import os
from pathlib import Path

import pytest

from dashboard_records import write_trials
from made_up_records import write_example_records
from offline_runs import offline_files, read_offline
from peftrec.dashboards.after_report import log_comparison
from peftrec.dashboards.content import compared
from peftrec.dashboards.standings import standings
from peftrec.dashboards.wandb_logging import log_offline, log_standings, never_logged, sync_command
from peftrec.results.record import read_record, write_record
from peftrec.results.report.report import write_report
from peftrec.trackers import wandb_run

pytestmark = pytest.mark.integration

wandb = pytest.importorskip("wandb")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_example_records(tmp_path, seeds=1, num_users=40)


def track(folder: Path, *strategies: str, mode: str = "offline") -> None:
    """Have runs say that they went to W&B."""
    for strategy in strategies:
        place = folder / f"{strategy}-example1"
        record = read_record(place)
        config = {**record.config, "logger": {"wandb": mode, "wandb_project": "made-up"}}
        write_record(record.model_copy(update={"config": config}), place)


def test_what_went_to_w_and_b_gets_its_standing_and_the_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    track(folder, "lora", "id")
    report = write_report(folder)
    log_comparison(folder)
    assert sync_command(folder) in capsys.readouterr().out
    expected = standings(report.comparison)
    for strategy in ("lora", "id"):
        (file,) = offline_files(folder / f"{strategy}-example1")
        summary = read_offline(file).overview["summary"]
        standing = expected[f"{strategy}-example1"]
        assert (summary["row"], summary["is_on_front"]) == (standing.row, standing.is_on_front)
        assert summary["tpme"] == pytest.approx(standing.tpme)
    assert not offline_files(folder / "full-example1")

    (file,) = offline_files(folder / "wandb")
    found = read_offline(file)
    assert (found.begun["run_group"], found.begun["job_type"]) == ("made-up-example", "report")
    files = {
        entry["path"]: Path(entry["local_path"])
        for artifact in found.of_type("artifact")
        if artifact["type"] == "report"
        for entry in artifact["manifest"]["contents"]
    }
    assert set(files) == set(report.contents)
    assert all(files[name].read_bytes() == content for name, content in report.contents.items())
    assert all(folder.resolve() in place.resolve().parents for place in files.values())  # beside the run, not at home
    (table,) = (file.parent / "files" / "media" / "table").glob("comparison*.json")
    content = json.loads(table.read_text(encoding="utf-8"))
    by_name = {row[0]: dict(zip(content["columns"], row, strict=True)) for row in content["data"]}
    assert by_name["lora"]["tpme"] == pytest.approx(expected["lora-example1"].tpme)
    assert by_name["popularity"]["status"] == "baseline"


def test_once_more_leaves_one_run_of_each(folder: Path) -> None:
    track(folder, "lora", "id")
    for _ in range(2):
        log_comparison(folder)
    assert len(offline_files(folder)) == 3


def test_what_never_went_to_w_and_b_is_counted(folder: Path) -> None:
    number = len(compared(folder).comparison.runs)
    assert never_logged(compared(folder)) == number
    track(folder, "lora")
    track(folder, "id", mode="online")
    write_trials(folder, "lora", [{"text": 1e-3}])
    assert never_logged(compared(folder)) == number - 2 + 1


def test_runs_that_went_nowhere_are_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_comparison(folder)
    assert capsys.readouterr().out == ""
    assert not offline_files(folder)


@pytest.mark.slow
def test_all_runs_can_be_logged_from_their_records(folder: Path) -> None:
    write_trials(folder, "lora", [{"text": rate} for rate in (1e-5, 1e-3)])
    found = compared(folder)
    assert log_offline(folder, found, "elsewhere") == len(found.comparison.runs) + 2
    begun = [read_offline(file).begun for file in offline_files(folder)]
    assert {each["project"] for each in begun} == {"elsewhere"}
    groups = [each["run_group"] for each in begun]
    assert groups.count("made-up-example") == len(found.comparison.runs) + 1
    assert groups.count("made-up-example/trials") == 2


def test_what_w_and_b_refuses_is_one_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    track(folder, "lora", "id")

    def refuse(**_: object) -> None:
        raise wandb.errors.CommError("the server is gone")

    monkeypatch.setattr(wandb, "init", refuse)
    assert log_standings(folder, compared(folder).comparison) is None
    assert capsys.readouterr().err.count("warning: W&B takes no more of this report (the server is gone)") == 1


def test_online_the_standing_is_added_to_the_run_that_is_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server: what would be sent is caught."""
    track(folder, "lora", mode="online")
    begun = []

    class Caught:
        def __init__(self, **how: object) -> None:
            begun.append(how)
            self.summary: dict[str, object] = {}
            how["summary"] = self.summary

        def finish(self) -> None: ...

    monkeypatch.setattr(wandb, "init", Caught)
    comparison = compared(folder).comparison
    standing = standings(comparison)["lora-example1"]
    record = next(run.record for run in comparison.runs if run.record.strategy == "lora")
    settings = wandb_run.LoggerSettings(wandb="online")
    wandb_run.add_standing(settings, record, standing)
    (how,) = begun
    assert (how["id"], how["resume"], how["mode"]) == ("made-up-example-lora-example1", "must", "online")
    assert how["summary"] == {name: value for name, value in vars(standing).items() if value is not None}


def test_the_users_own_folder_for_data_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "mine"))
    track(folder, "lora")
    (folder / "report").mkdir()
    (folder / "report" / "table.csv").write_text("strategy\n")
    log_comparison(folder)
    assert os.environ["WANDB_DATA_DIR"] == str(tmp_path / "mine")
    assert list((tmp_path / "mine").rglob("staging/*"))
