"""What a folder of runs holds that nobody needs: named first, removed on demand, and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from changed_code import Change, change_code
from peftrec.cli.main import main
from peftrec.jobs.cleaning import find_waste
from peftrec.jobs.temporary import temporary_folder
from peftrec.processes import owner
from peftrec.results.record import read_record, write_record
from peftrec.results.runs import find_runs
from peftrec.training.run.pipeline import train_run
from small_runs import small_settings

pytestmark = pytest.mark.integration

__all__ = ["change_code"]  # a fixture

ADDITION = (b"\n\n\n", b"\n\n\nOTHER = 1\n\n\n")


def train(runs_dir: Path) -> Path:
    return train_run(small_settings(runs_dir, "iisan_cached", trainer={"max_epochs": 1})).run_directory


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "runs"
    train(folder)
    return folder


@pytest.fixture
def runs_dir(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("peftrec.jobs.temporary.gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def waste(runs_dir: Path) -> dict[Path, str]:
    return {each.path: each.why for each in find_waste(runs_dir)}


def store_of(run: Path) -> Path:
    name = read_record(run).store
    assert name is not None
    return run.parents[1] / "hidden_states" / name


def test_what_is_needed_is_no_waste(runs_dir: Path) -> None:
    assert waste(runs_dir) == {}


def test_a_superseded_run_goes_and_with_it_the_store_that_it_alone_read(
    runs_dir: Path, change_code: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    (former,) = (run.folder for run in find_runs(runs_dir))
    change_code("peftrec.models.towers.tower", *ADDITION)
    current = train(runs_dir)
    assert store_of(current) != store_of(former)
    expected = {
        former: f"superseded by {current.name}, which later code trained",
        store_of(former): "a store that no run here reads",
    }
    assert waste(runs_dir) == expected
    before = sorted(runs_dir.rglob("*"))
    assert main(["clean", str(runs_dir), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert all(f"{path}: " in said and why in said for path, why in expected.items())
    assert "2 would go" in said
    assert sorted(runs_dir.rglob("*")) == before
    kept = store_of(current)
    assert main(["clean", str(runs_dir)]) == 0
    assert "2 removed" in capsys.readouterr().out
    assert [run.folder for run in find_runs(runs_dir)] == [current]
    assert [path.name for path in kept.parent.iterdir() if path.is_dir()] == [kept.name]
    assert waste(runs_dir) == {}


def test_unless_later_code_has_finished_nothing_goes(runs_dir: Path, change_code: Change) -> None:
    change_code("peftrec.models.recommender", *ADDITION)
    current = train(runs_dir)
    record = read_record(current)
    write_record(record.model_copy(update={"status": "failed", "error": "for the test"}), current)
    assert waste(runs_dir) == {}


def test_a_run_that_may_still_read_a_store_keeps_them_all(runs_dir: Path) -> None:
    (run,) = find_runs(runs_dir)
    store = store_of(run.folder)
    write_record(run.record.model_copy(update={"status": "failed", "store": None, "error": "early"}), run.folder)
    assert store not in waste(runs_dir)
    shutil.copytree(run.folder, run.folder.with_name("id-000000000000"))
    shutil.rmtree(run.folder)
    other = run.folder.with_name("id-000000000000")
    write_record(run.record.model_copy(update={"store": None}), other)
    assert waste(runs_dir) == {store: "a store that no run here reads"}


def test_what_killed_processes_left(runs_dir: Path, tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / "temporary" / f"peftrec-{dead.pid}-abc"
    alive = tmp_path / "temporary" / f"peftrec-{os.getpid()}-abc"
    for folder in (left, alive):
        folder.mkdir()
    assert waste(runs_dir) == {left: "left by a process that was killed"}


def test_the_next_temporary_folder_removes_those_of_killed_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    machine = owner().rpartition("-")[0]
    left, kept = [f"peftrec-{machine}-{2**22 + 1}-a"], ["peftrec-1-b", "peftrec-0123abcd-7-c", "other-9999999-d"]
    for name in left + kept:
        (tmp_path / name).mkdir()
    with temporary_folder() as folder:
        assert {path.name for path in tmp_path.iterdir()} == {Path(folder).name, *kept}


def test_runs_that_links_lead_to_read_stores_and_stay(runs_dir: Path, tmp_path: Path, change_code: Change) -> None:
    (former,) = (run.folder for run in find_runs(runs_dir))
    elsewhere = tmp_path / "elsewhere"
    shutil.move(former, elsewhere)
    former.symlink_to(elsewhere)
    change_code("peftrec.models.towers.tower", *ADDITION)
    current = train(runs_dir)
    assert {run.folder for run in find_runs(runs_dir)} == {former, current}
    assert waste(runs_dir) == {}


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert main(["clean", str(tmp_path), "there"]) == 2
    assert "expected one RUNS_DIR" in capsys.readouterr().err
