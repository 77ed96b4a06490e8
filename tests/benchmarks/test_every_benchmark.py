"""Every benchmark can be started: what it takes from the package is there."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.parametrize("program", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_it_says_what_it_does(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{program}.py", "--help"])
    with pytest.raises(SystemExit) as left:
        importlib.import_module(program).main()
    assert left.value.code == 0
    assert f"usage: {program}.py" in capsys.readouterr().out
