"""The folder to be copied: copied, and every command of its page given, as somebody without a checkout would."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from peftrec.cli.main import main
from peftrec.code.user_code import open_door
from peftrec.results.record import read_record

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_strategy"
TINY = (
    *("trainer=cpu", "trainer.max_epochs=1", "towers=tiny", "embedding_dim=16"),
    *("data.num_users=40", "data.num_items=100"),
)


@pytest.fixture(autouse=True)
def _close_door() -> Iterator[None]:
    yield
    open_door()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(EXAMPLE, tmp_path / EXAMPLE.name, ignore=shutil.ignore_patterns("__pycache__"))


def commands(program: str) -> list[list[str]]:
    """Return the page's commands for a program, without its name."""
    lines = [line.split() for line in (EXAMPLE / "README.md").read_text().splitlines() if line.startswith("    ")]
    return [line[1:] for line in lines if line[0] == program]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_trains_and_is_evaluated_and_reported_later(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verbs = [words[0] for words in commands("peftrec")]
    assert verbs == ["train", "train", "evaluate", "report"]
    trained, stored, evaluated, reported = commands("peftrec")
    for words in (trained, stored):
        assert main([*words, *TINY]) == 0
    records = {file.parent: read_record(file) for file in Path("runs/default").rglob("record.json")}
    assert len(records) == 2
    for run, record in records.items():
        assert record.status == "success"
        assert {"output_adapter", "output_adapter_network"} < set(record.latest.modules)
        open_door()  # as a process that has named no folder
        assert main([word.replace("RUN_DIR", str(run)) for word in evaluated]) == 0
    open_door()
    assert main(["evaluate", f"run={next(iter(records))}"]) == 2
    assert "code=DIR" in capsys.readouterr().err
    assert main(reported) == 0
    assert "output_adapter_cached" in capsys.readouterr().out


def test_it_keeps_the_laws_of_strategies(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In this process: another would import torch again."""
    (words,) = commands("pytest")
    status = pytest.main(["-p", "no:cacheprovider", "-p", "peftrec.testing.entry_point", *words])
    said = capfd.readouterr().out
    assert status == 0, said
    assert " passed" in said
    assert "skipped" not in said
