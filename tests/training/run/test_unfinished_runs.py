"""Every verb that asks a finished run refuses one that is not finished, and a file in place of a folder, alike."""

from pathlib import Path

import pytest

from made_up_records import STRATEGIES, made_up_ranks, made_up_record
from peftrec.cli.main import MISTAKE, main
from peftrec.results.record import RECORD_FILE, write_record

VERBS = {
    "evaluate": [],
    "recommend": ["user=user00001"],
    "export": [],
    "retrieval": [],
    "coldstart": [],
    "groups": [],
}


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    record = made_up_record(STRATEGIES[0], 1, made_up_ranks(0.3, 1, 20))
    write_record(record.model_copy(update={"status": "interrupted"}), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("verb", VERBS)
def test_an_unfinished_run(verb: str, run_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, f"run={run_directory}", *VERBS[verb]]) == MISTAKE
    expected = "the run is not finished (interrupted); give again the command that started it"
    assert capsys.readouterr().err == f"error: {run_directory}: {expected}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_in_place_of_the_folder(verb: str, run_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, f"run={run_directory / RECORD_FILE}", *VERBS[verb]]) == MISTAKE
    expected = f"a file; name the folder of the run: {run_directory}"
    assert capsys.readouterr().err == f"error: {run_directory / RECORD_FILE}: {expected}\n"
