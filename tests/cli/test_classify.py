"""`peftrec classify` from the command line, on series that take seconds."""

from pathlib import Path

import pytest
import yaml

from peftrec.cli.main import main
from peftrec.code import fingerprint

HEADER = "@problemName Tiny\n@univariate false\n@dimension 2\n@equalLength false\n@classLabel true a b\n@data\n"
LINES = ["1,2,3:3,2,1:a", "3,1:1,3:b", "1,2,2:3,2,2:a", "3,2:1,2:b"]
SMALL = ["recipe.max_epochs=2", "recipe.towers.dim=8", "recipe.towers.hidden=8", "seeds=[3,4]"]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def words(folder: Path) -> list[str]:
    (folder / "Tiny").mkdir(exist_ok=True)
    for part in ("TRAIN", "TEST"):
        (folder / "Tiny" / f"Tiny_{part}.ts").write_text(HEADER + "\n".join(LINES) + "\n")
    return ["classify", "data.name=Tiny", f"data.root={folder}", f"runs_dir={folder / 'runs'}", *SMALL]


def test_the_table_is_printed_and_the_file_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(tmp_path)) == 0
    first = capsys.readouterr().out
    assert "seed 3:" in first
    assert "Tiny: 4 training, 4 test, 3 steps, 2 channels, 2 classes" in first
    path = Path(first.splitlines()[-1].removeprefix("results: "))
    assert path.is_file()
    before = path.stat().st_mtime_ns
    assert main(words(tmp_path)) == 0
    again = capsys.readouterr().out
    assert "seed 3:" not in again
    assert first.endswith(again)
    assert path.stat().st_mtime_ns == before


def test_seeds_of_other_code_are_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(words(tmp_path)) == 0
    first = capsys.readouterr().out.splitlines()[-1].removeprefix("results: ")
    monkeypatch.setattr(fingerprint, "public_version", lambda package: "0.1")
    assert main(words(tmp_path)) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] != f"results: {first}"
    assert "seed 3:" in shown.out
    assert f"{first}: computed by other code (lightning " in shown.err
    assert main(words(tmp_path)) == 0
    assert "other code" not in capsys.readouterr().err


def test_the_configuration_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "--cfg", "recipe=published"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["recipe"]["batch_size"] == 3


def test_help_lists_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "--help"]) == 0
    assert "recipes: published, small" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recipe.tower.dim=3"], "unknown key recipe.tower.dim; did you mean recipe.towers.dim?"),
        (["recipe=publishd"], "did you mean published?"),
        (["--all"], "unknown flag --all; see peftrec classify --help"),
        (["recipe.optimizer=sgd"], "recipe.optimizer: "),
        (["data.name=Nowhere"], "set data.root to a folder that holds Nowhere/Nowhere_TRAIN.ts"),
    ],
)
def test_mistakes_are_one_message(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", *arguments]) == 2
    assert message in capsys.readouterr().err
