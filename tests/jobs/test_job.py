"""How a job ends: as a report, but for a process that is told to leave."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from peftrec.jobs import job, launching
from peftrec.jobs.isolation import JobFile, JobReport
from small_runs import small_config


def leave(settings: object, trial: object) -> object:
    raise SystemExit(-1)


def test_what_leaves_the_process_is_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """submitit submits a job again that ran out of time, and leaves; what it returned would be taken for its end."""
    monkeypatch.setattr(launching, "launch", leave)
    with pytest.raises(SystemExit):
        job.train(small_config(tmp_path, "id"))


def test_a_job_of_a_sweep_here_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "launch", leave)
    (tmp_path / "job.json").write_text(JobFile(config=small_config(tmp_path, "id")).model_dump_json())
    assert job.main([str(tmp_path / "job.json"), str(tmp_path / "outcome.json")]) == 1
    report = JobReport.model_validate_json((tmp_path / "outcome.json").read_bytes())
    assert (report.status, report.error) == ("interrupted", "SystemExit: -1")


def test_an_interruption_while_modules_are_imported_is_no_traceback(tmp_path: Path) -> None:
    slow = tmp_path / "torch"
    slow.mkdir()
    (slow / "__init__.py").write_text("import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(60)\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "peftrec.jobs.job", "job.json", "outcome.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + 30.0
    while not (tmp_path / "importing").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0] == b""
    assert process.returncode == -signal.SIGINT
