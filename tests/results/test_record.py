"""The record: its schema, its states, and that it is never half written."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from peftrec.errors import RecordError, UserError
from peftrec.files import write_stream_atomically
from peftrec.results.process import this_process
from peftrec.results.record import Record, read_record, write_record
from peftrec.results.runs import find_runs


def test_round_trip(tmp_path: Path, record: Record) -> None:
    write_record(record, tmp_path)
    assert read_record(tmp_path) == record == read_record(tmp_path / "record.json")
    assert [run.record for run in find_runs(tmp_path)] == [record]


def test_missing_is_null(tmp_path: Path, record: Record) -> None:
    write_record(record.model_copy(update={"evaluation": None, "checkpoint_bytes": None}), tmp_path)
    text = json.loads((tmp_path / "record.json").read_text())
    assert text["evaluation"] is None
    assert text["checkpoint_bytes"] is None


@pytest.mark.parametrize("place", [[], ["provenance"], ["efficiency", "exact_bytes"], ["epochs", 0]])
def test_unknown_key_is_refused_by_name(tmp_path: Path, record: Record, place: list[str | int]) -> None:
    text = json.loads(record.model_dump_json())
    part = text
    for key in place:
        part = part[key]
    part["surprise"] = 1
    (tmp_path / "record.json").write_text(json.dumps(text))
    with pytest.raises(RecordError, match=r"surprise: Extra inputs.*malformed"):
        read_record(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seed": "one"}'])
def test_malformed_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(RecordError, match=r"record\.json: .*malformed"):
        read_record(tmp_path)


def test_absent_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such record"):
        read_record(tmp_path)
    with pytest.raises(RecordError, match="train first"):
        find_runs(tmp_path)


def test_not_a_number_is_refused_because_json_has_none(record: Record) -> None:
    with pytest.raises(ValidationError, match="finite"):
        record.epochs[0].model_validate(record.epochs[0].model_dump() | {"training_loss": math.nan})


def test_running_is_interrupted_once_its_process_is_gone(record: Record) -> None:
    running = record.model_copy(update={"status": "running", "process": this_process()})
    assert running.effective_status() == "running"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    gone = running.process.model_copy(update={"process_id": child.pid})
    assert running.model_copy(update={"process": gone}).effective_status() == "interrupted"


def test_a_reused_process_id_is_another_process(record: Record) -> None:
    earlier = this_process().model_copy(update={"started_at": "2001-01-01T00:00:00+00:00", "birth": None})
    running = record.model_copy(update={"status": "running", "process": earlier})
    assert running.effective_status() == "interrupted"


def test_another_host_is_believed(record: Record) -> None:
    elsewhere = this_process().model_copy(update={"host": "elsewhere", "process_id": 2**22 + 1})
    assert record.model_copy(update={"status": "running", "process": elsewhere}).effective_status() == "running"


@pytest.mark.parametrize(
    ("job", "restarts", "expected"),
    [("7", "1", "interrupted"), ("7", "0", "running"), ("7", None, "running"), ("8", "1", "running")],
)
def test_a_requeued_slurm_job_knows_that_its_former_self_is_gone(
    record: Record, monkeypatch: pytest.MonkeyPatch, job: str, restarts: str | None, expected: str
) -> None:
    """Slurm may start it on another node, from where no process can be asked about."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    former = this_process().model_copy(update={"host": "elsewhere"})
    assert (former.slurm_job, former.slurm_restarts) == ("7", 0)
    monkeypatch.setenv("SLURM_JOB_ID", job)
    if restarts is not None:
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    assert record.model_copy(update={"status": "running", "process": former}).effective_status() == expected


def test_an_odd_number_of_restarts_is_answered_with_the_variable_to_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "x")
    with pytest.raises(
        UserError, match=r"^SLURM_RESTART_COUNT='x' in .* where sbatch puts .*: unset SLURM_RESTART_COUNT$"
    ):
        this_process()


@pytest.mark.parametrize("status", ["success", "failed", "out_of_memory", "interrupted"])
def test_an_ended_run_keeps_its_status(record: Record, status: str) -> None:
    assert record.model_copy(update={"status": status}).effective_status() == status


def test_a_crash_while_writing_leaves_the_old_record(tmp_path: Path, record: Record) -> None:
    write_record(record, tmp_path)

    def crash(stream: object) -> None:
        stream.write(b"{")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_stream_atomically(tmp_path / "record.json", crash)
    assert read_record(tmp_path) == record
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_schema_describes_every_key(record: Record) -> None:
    schema = Record.model_json_schema()
    assert set(schema["properties"]) == set(json.loads(record.model_dump_json()))
    assert schema["additionalProperties"] is False
