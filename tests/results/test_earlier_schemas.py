"""Records of earlier schemas are read, and a table can still be made of them."""

import json
import shutil
from pathlib import Path

import pytest

from peftrec.cli.main import main
from peftrec.config.roles import Role
from peftrec.errors import RecordError
from peftrec.results.earlier_schemas import SCHEMA_VERSION
from peftrec.results.record import read_record, write_record

WRITTEN = Path(__file__).with_name("first_schema_record.json")
"""As `peftrec train strategy=id` wrote it before runs knew their code."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "old" / "id-3a2ea6bf755e"
    run.mkdir(parents=True)
    shutil.copy(WRITTEN, run / "record.json")
    return run


def test_every_figure_is_kept_under_its_present_name(folder: Path) -> None:
    written = json.loads(WRITTEN.read_text())
    record = read_record(folder)
    assert record.evaluation is not None
    assert record.parameters is not None
    assert record.evaluation.test == written["evaluation"]["test"]
    assert json.loads(record.evaluation.model_dump_json())["baselines"] == written["evaluation"]["floors"]
    assert record.parameters.role == written["parameters"]["fate"]
    assert [epoch.training_loss for epoch in record.epochs] == [epoch["training_loss"] for epoch in written["epochs"]]
    (stretch,) = record.stretches
    assert stretch.device == written["provenance"]["device"]
    assert stretch.git_commit == written["provenance"]["git_commit"]
    assert (stretch.modules, stretch.packages) == ({}, {}), "nobody knows by which code"
    assert record.question_hash == written["config_hash"]
    assert record.roles["trainer.num_workers"] == Role.COST
    assert record.roles["runs_dir"] == Role.PLACE


def test_what_was_read_is_written_in_the_present_schema(folder: Path) -> None:
    record = read_record(folder)
    write_record(record, folder)
    assert json.loads((folder / "record.json").read_text())["schema_version"] == SCHEMA_VERSION
    assert read_record(folder) == record


def test_a_report_is_made_of_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(folder.parent)]) == 0
    assert "item_knn" in capsys.readouterr().out


def test_an_unknown_key_of_theirs_is_still_refused_by_name(folder: Path) -> None:
    written = json.loads(WRITTEN.read_text())
    (folder / "record.json").write_text(json.dumps({**written, "colour": "red"}))
    with pytest.raises(RecordError, match="colour"):
        read_record(folder)
