"""The page of the Python API: its blocks run one after the other, and print what their comments say."""

import re
from pathlib import Path

import pytest
from markdown_pages import REPOSITORY, blocks

import peftrec

pytestmark = pytest.mark.integration

PAGE = (REPOSITORY / "docs" / "python_api.md").read_text(encoding="utf-8")
CODE = "".join(block.code for block in blocks(PAGE) if block.language == "python")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("peftrec.training.measurement.repeated.BUDGET_SECONDS", 0.01)
    names: dict[str, object] = {}
    exec(compile(CODE, "docs/python_api.md", "exec"), names)
    shown = capsys.readouterr().out
    assert "runs/first/lora-" in shown
    assert "unknown key strategy.rnak; did you mean strategy.rank?" in shown
    assert "('new-1',)" in shown
    assert names["page"] == [Path("runs/first/report/index.html")]
    assert re.findall(r"^ *user00061 +([123]) +item\d+ ", shown, re.MULTILINE) == ["1", "2", "3"]


def test_every_name_that_the_page_imports_is_of_the_api() -> None:
    names = {name.strip() for line in re.findall(r"from peftrec import (.*)", CODE) for name in line.split(",")}
    assert {"compose", "train", "load_run", "compare"} <= names <= set(peftrec.__all__)
