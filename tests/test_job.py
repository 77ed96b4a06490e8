"""How a job ends: as a report, but for a process that is told to leave."""

import json
from pathlib import Path

import pytest

from peftrec import job, launching
from peftrec.isolation import JobReport
from small_runs import small_config


def leave(settings: object) -> object:
    raise SystemExit(-1)


def test_what_leaves_the_process_is_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """submitit submits a job again that ran out of time, and leaves; what it returned would be taken for its end."""
    monkeypatch.setattr(launching, "launch", leave)
    with pytest.raises(SystemExit):
        job.train(small_config(tmp_path, "id"))


def test_a_job_of_a_sweep_here_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "launch", leave)
    (tmp_path / "job.json").write_text(json.dumps(small_config(tmp_path, "id")))
    assert job.main([str(tmp_path / "job.json"), str(tmp_path / "outcome.json")]) == 1
    report = JobReport.model_validate_json((tmp_path / "outcome.json").read_bytes())
    assert (report.status, report.error) == ("interrupted", "SystemExit: -1")
