"""`peftrec dashboard wandb`: a dry run writes what would be sent; mistakes are one message."""

import json
import sys
from pathlib import Path

import pytest

from made_up_records import write_example_records
from offline_runs import offline_files
from peftrec.cli import dashboard
from peftrec.errors import UserError
from peftrec.trackers import wandb_login

pytest.importorskip("wandb_workspaces")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example_records(tmp_path_factory.mktemp("runs"), seeds=1, num_users=40)


def test_a_dry_run_writes_both_and_always_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["wandb", str(folder), "--dry-run", "entity=me", "project=mine"]
    assert dashboard.main(words) == 0
    told = capsys.readouterr()
    assert "nothing was sent; what would be, to me/mine" in told.out
    assert told.err == (
        "warning: of 7 runs, 7 never went to W&B, which cannot show them; add --log, which logs all from their "
        "records\n"
    )
    files = {name: folder / "dashboard" / name for name in ("workspace.json", "report.json")}
    first = {name: file.read_bytes() for name, file in files.items()}
    assert json.loads(first["workspace.json"])["project"] == "mine"
    assert json.loads(first["report.json"])["entityName"] == "me"
    assert dashboard.main(words) == 0
    assert {name: file.read_bytes() for name, file in files.items()} == first


@pytest.mark.slow
def test_runs_are_logged_first_where_that_is_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dashboard.main(["wandb", str(folder), "--dry-run", "--log"]) == 0
    printed = capsys.readouterr()
    said = printed.out
    assert "never went to W&B" not in printed.err
    assert "7 runs and the report's files, offline; send them:\n  find " in said
    assert "to ENTITY/peftrec" in said
    assert len(offline_files(folder)) == 8
    assert (folder / "report" / "table.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["wandbb", "DIR"], "did you mean wandb"),
        (["wandb"], r"expected one RUNS_DIR, got none"),
        (["wandb", "one", "two"], "expected one RUNS_DIR, got one two"),
        (["wandb", "DIR", "projct=x"], "did you mean project"),
        (["wandb", "nowhere"], r"no record\.json below this folder"),
        (["wandb", "DIR", "--dryrun"], "did you mean --dry-run"),
    ],
)
def test_mistakes(words: list[str], message: str, folder: Path) -> None:
    with pytest.raises(UserError, match=message):
        dashboard.main([str(folder) if word == "DIR" else word for word in words])


def test_without_a_login_nothing_is_sent_and_the_dry_run_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise wandb_login.NotReachedError("it does not answer")

    monkeypatch.setattr(wandb_login, "reach", refuse)
    with pytest.raises(UserError, match=r"peftrec dashboard wandb: it does not answer; .*, or add --dry-run"):
        dashboard.main(["wandb", str(folder)])


def test_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(UserError, match=r'pip install "peftrec\[dashboard\]"'):
        dashboard.main(["wandb", str(folder), "--dry-run"])
