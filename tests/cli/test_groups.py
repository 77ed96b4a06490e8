"""`peftrec groups`: what it prints and writes, and mistakes as one line."""

from pathlib import Path

import pytest

from peftrec.cli import main as cli
from peftrec.training.run.pipeline import train_run
from small_runs import small_settings

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = small_settings(
        tmp_path_factory.mktemp("runs"), "lora", trainer={"max_epochs": 1}, towers={"image": None}
    )
    return train_run(settings).run_directory


def groups(directory: Path, *words: str) -> int:
    return cli.main(["groups", f"run={directory}", *words])


def test_it_says_where_it_wrote_and_prints_the_table(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert groups(directory, "number=2", "epochs=1", "adapters=true") == 0
    shown = capsys.readouterr()
    (folder,) = (directory / "groups").iterdir()
    assert folder.name.startswith("2-")
    assert shown.out.startswith(f"written: {folder}\nadapters: {folder / 'adapters'}\n\n| groups | hr@10 |")
    assert "| number=2 seed=1 epochs=1 negatives=objective | " in shown.out
    assert "group 2 of 2: " in shown.err
    assert sorted(each.name for each in (folder / "adapters" / "text").iterdir()) == ["1", "2"]
    before = shown.out.partition("| groups |")[2]
    assert groups(directory, "number=2", "epochs=1") == 0
    again = capsys.readouterr()
    assert again.err == f"finished before: {folder}\n"
    assert again.out.partition("| groups |")[2] == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nmuber=2"], "unknown key nmuber; did you mean number?"),
        (["number=0"], "number"),
        (["number=1000"], "number=1000: 64 users train; give number=64 at most"),
        (["adapters=yes"], "adapters=yes: expected true or false"),
        (["data.rooot=x"], "data.rooot=x: a finished run is asked as it was trained, so only places can change"),
    ],
)
def test_a_mistake_is_one_line(
    directory: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = sorted(directory.rglob("*"))
    assert groups(directory, *words) == cli.MISTAKE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert sorted(directory.rglob("*")) == there
