"""The words of `peftrec export`, and what it prints."""

from pathlib import Path

import pytest

from peftrec.cli.export import main
from peftrec.cli.main import main as command_line
from peftrec.errors import UserError
from small_exports import finished_run
from small_models import WIDTH, strategy_files

pytestmark = pytest.mark.integration

RANK = 8  # of conf/strategy/lora.yaml


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run is required: set run=RUN_DIR"),
        (["run=x", "merged=true"], "merged=true: unknown to peftrec export; did you mean merge"),
        (["run=x", "zzz"], "zzz: unknown to peftrec export; see peftrec export --help"),
        (["run=x", "merge=yes"], "merge=yes: expected true or false"),
        (["run="], "run=: give run a value"),
        (["run=x", "run=y"], "run=y: run is given twice"),
    ],
)
def test_words_that_are_not_understood(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(arguments)


def test_a_run_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["export", f"run={tmp_path / 'nothing'}"]) == 2
    assert "no such record" in capsys.readouterr().err


def test_what_is_printed_is_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = [file for file in strategy_files() if file.stem == "lora"]
    run_directory = finished_run(tmp_path, file, num_blocks=1)
    capsys.readouterr()
    assert main([f"run={run_directory}"]) == 0
    printed = capsys.readouterr()
    assert str(run_directory / "export") in printed.out
    count = 2 * 2 * WIDTH * RANK  # A and B; query and value, of one block
    assert f"text/: peft adapter, {count:,} parameters" in printed.out
    assert "recommender.safetensors" in printed.out
    assert "user_encoder.pt2: " in printed.out
    assert not printed.err
    assert main([f"run={run_directory}", "merge=true", "user_encoder=false", "overwrite=true"]) == 0
    printed = capsys.readouterr()
    assert "text/: whole checkpoint" in printed.out
    assert "user_encoder.pt2" not in printed.out
    assert not (run_directory / "export" / "user_encoder.pt2").exists()


def test_help_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "run=RUN_DIR [to=DIR] [merge=true]" in capsys.readouterr().out
