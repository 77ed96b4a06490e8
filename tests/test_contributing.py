"""The worked pages of CONTRIBUTING.md: what they say to write is written, and trained."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from peftrec.cli.main import main
from peftrec.code.user_code import open_door
from peftrec.results.record import read_record
from peftrec.tuning.candidates import compose_candidates
from peftrec.tuning.settings import Budget, TuneSettings

pytestmark = pytest.mark.integration

PAGE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"
FILE = re.compile(r"^`(parts/[\w./]+)`:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TINY = (
    *("trainer=cpu", "trainer.max_epochs=1", "towers=tiny", "strategy=frozen", "embedding_dim=16"),
    *("data=synthetic", "data.num_users=40", "data.num_items=100"),
)


@pytest.fixture(autouse=True)
def _close_door() -> Iterator[None]:
    yield
    open_door()


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILE.findall(PAGE.read_text()):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "DATA").mkdir()
    items = [{"item": f"i{number}", "title": f"red lamp {number}"} for number in range(20)]
    users = [{"user": f"u{one}", "items": [f"i{(one + step) % 20}" for step in range(6)]} for one in range(12)]
    for file, rows in (("items", items), ("users", users)):
        (tmp_path / "DATA" / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "parts"


def commands(verb: str) -> list[list[str]]:
    """Return the commands of the page that start with a verb, without their first word."""
    lines = [line.split("#")[0].split() for line in PAGE.read_text().splitlines() if line.startswith(f"    {verb} ")]
    return [line[1:] for line in lines]


def test_every_page_has_its_command_and_its_files() -> None:
    chosen = {word.partition("=")[0] for command in commands("peftrec") for word in command if "=" in word}
    assert {"strategy", "objective", "user_encoder", "data"} <= chosen
    assert len(FILE.findall(PAGE.read_text())) == 11


@pytest.mark.parametrize("words", commands("peftrec"), ids=lambda words: words[3])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_command_of_a_page_trains_what_the_page_wrote(words: list[str], parts: Path) -> None:
    verb, *others = words
    given = {word.partition("=")[0] for word in others}
    small = [word for word in TINY if word.partition("=")[0].split(".")[0] not in given or word.startswith("trainer")]
    assert main([verb, *small, *others]) == 0
    (file,) = parts.parent.rglob("record.json")
    record = read_record(file)
    assert record.status == "success"
    own = {name.partition(".")[0] for name in record.latest.modules} - {"peftrec"}
    assert own, "what the user's class reaches is part of the run's code"


@pytest.mark.parametrize("words", commands("pytest"), ids=" ".join)
def test_the_contract_tests_pass_what_the_page_wrote(
    words: list[str], parts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In this process: another would import torch again."""
    status = pytest.main(["-p", "no:cacheprovider", "-p", "peftrec.testing.entry_point", *words])
    said = capfd.readouterr().out
    assert status == 0, said
    assert " passed" in said


def test_the_search_space_of_the_page_fits_its_strategy(parts: Path) -> None:
    open_door(config=[str(parts)])
    (candidate,) = compose_candidates(["strategy=last_blocks"], TuneSettings(budget=Budget(trials=1)))
    assert list(candidate.space.dimensions) == ["learning_rates.text", "learning_rates.recommender", "strategy.number"]


def test_a_mistake_in_the_data_of_the_page_names_its_line(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users = parts.parent / "DATA" / "users.jsonl"
    users.write_text(users.read_text() + '{"user": "u99"}\n')
    (words,) = [command for command in commands("peftrec") if "data=json_lines" in command]
    assert main([*words, "trainer=cpu"]) == 2
    assert "users.jsonl:13: no 'items' here" in capsys.readouterr().err
