"""Records and ranks that are damaged, of another version, or somebody's fun: one error each, and the others stay."""

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mutations import mutated_json
from peftrec.errors import RecordError, UserError
from peftrec.results import tables
from peftrec.results.latex import to_latex
from peftrec.results.ranks import read_ranks
from peftrec.results.record import Record, read_record
from peftrec.results.report.report import build_report, compare_folder, write_report
from peftrec.results.tpme_reference import CostChoices

pytestmark = pytest.mark.integration

NUM_MUTATIONS = 300
DRAWN = 20
"""Of so many mutated records one is reported with its figures."""


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda file: file.write_bytes(b""), "malformed"),
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-50]), "malformed"),
    "a folder": (make_folder, ""),
    "text": (lambda file: file.write_bytes(b"\xff\xfe not JSON"), "malformed"),
    "a list": (lambda file: file.write_text("[1]"), "malformed"),
    "deep": (lambda file: file.write_text("[" * 100_000), "malformed"),
    "newer": (lambda file: changed(file, "schema_version", 99), "of schema 99, which a newer peftrec wrote"),
    "huge counts": (
        lambda file: changed(
            file, "parameters", {"trainable": 1, "total": 1, "by_origin": {"a": {"b": 2**70}}, "groups": {}, "role": {}}
        ),
        "parameters.by_origin.a.b: Input should be less than",
    ),
    "huge": (lambda file: changed(file, "seed", 2**70), "seed is beyond any count"),
    "null": (lambda file: changed(file, "provenance", None), "provenance"),
    "earlier and odd": (
        lambda file: file.write_text('{"schema_version": 1, "process": [], "provenance": 1}'),
        "malformed",
    ),
}


def changed(file: Path, key: str, value: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_bytes()), key: value}))


@pytest.mark.parametrize("kind", SPOILT)
def test_a_damaged_record_is_one_error_and_leaves_the_report_of_the_others(kind: str, few: Path) -> None:
    file = sorted(few.rglob("record.json"))[0]
    spoil, message = SPOILT[kind]
    spoil(file)
    with pytest.raises(RecordError) as caught:
        read_record(file.parent)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    comparison = compare_folder(few, CostChoices())
    assert any(note.startswith(f"Not in this comparison: {caught.value}") for note in comparison.notes)
    assert len(comparison.runs) == len(list(few.rglob("ranks.parquet"))) - 1


def test_where_no_record_can_be_read_each_is_named(few: Path) -> None:
    files = sorted(few.rglob("record.json"))
    for file in files:
        file.write_text("")
    with pytest.raises(RecordError) as caught:
        build_report(few)
    assert all(str(file) in str(caught.value) for file in files)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no table", None])
def test_damaged_ranks_take_the_tests_and_not_the_table(content: bytes | None, few: Path, undrawn: None) -> None:
    file = sorted(few.rglob("ranks.parquet"))[0]
    file.write_bytes(file.read_bytes()[:300] if content is None else content)
    with pytest.raises(RecordError, match=r"ranks\.parquet: damaged, no table .*remove the folder of the run"):
        read_ranks(file.parent)
    report = build_report(few)
    assert str(file) in report.to_terminal()
    assert len(report.comparison.strategies) == 3


def test_ranks_that_are_gone_come_with_the_words_that_bring_them_back(few: Path, undrawn: None) -> None:
    """The command of the run alone does not: it finds the run finished already."""
    file = sorted(few.rglob("ranks.parquet"))[0]
    file.unlink()
    with pytest.raises(RecordError, match=r"no such file, .*; remove the folder of the run and give its command again"):
        read_ranks(file.parent)


def test_names_do_nothing_in_any_output(experiment: Path, change: Callable[..., None]) -> None:
    name = "$\\frac{$ <script>alert(1)</script> \x1b[31m\n| `x` =1"
    for file in experiment.rglob("record.json"):
        if read_record(file).strategy == "lora":
            change(file.parent, strategy=name, experiment=f"={name}")
    report = write_report(experiment)
    for file in report.files:
        content = file.read_bytes()
        assert file.suffix == ".png" or b"\x1b" not in content, file
        assert file.suffix == ".csv" or b"<script>alert" not in content, file
    assert "\x1b" not in report.to_terminal()
    assert "\\u001b[31m\\n" in report.to_terminal()


def refused(folder: Path, record: Any, *, draws: bool) -> bool:
    """Read and compare what may be refused in words, but neither crash nor put odd text anywhere; figures take most of
    a report's time, so that not every one is drawn."""
    (folder / "record.json").write_text(json.dumps(record))
    try:
        comparison = build_report(folder.parent).comparison if draws else compare_folder(folder.parent, CostChoices())
    except UserError:
        return True
    texts = (tables.to_terminal(comparison), tables.to_markdown(comparison), to_latex(comparison, pd.DataFrame()))
    assert not any("\x1b" in text for text in texts)
    return any(note.startswith("Not in this comparison") for note in comparison.notes)


@pytest.mark.parametrize("number", [DRAWN, pytest.param(2_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_mutated_records_crash_no_report(number: int, example: Path, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    for file in sorted(example.rglob("record.json"))[:3]:
        shutil.copytree(file.parent, folder / file.parent.name)
    target = sorted(folder.iterdir())[0]
    record = json.loads((target / "record.json").read_bytes())
    chance = random.Random(1)
    outcomes = [refused(target, mutated_json(record, chance), draws=not each % DRAWN) for each in range(number)]
    assert any(outcomes)
    assert not all(outcomes)


def test_mutated_records_are_read_or_refused(example: Path) -> None:
    record = json.loads(sorted(example.rglob("record.json"))[0].read_bytes())
    chance = random.Random(2)
    for _ in range(NUM_MUTATIONS):
        content = json.dumps(mutated_json(record, chance)).encode()
        damaged = bytearray(content)
        if chance.random() < 0.3:
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        file = example.parent / "mutated.json"
        file.write_bytes(bytes(damaged))
        with suppress(RecordError):  # and nothing else
            assert isinstance(read_record(file), Record)
