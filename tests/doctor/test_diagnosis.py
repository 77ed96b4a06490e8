"""The diagnosis: an answer first, problems with remedies, a status."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from peftrec.cli import main as cli
from peftrec.doctor import diagnosis, machine
from peftrec.doctor.requirements import needed


def test_here_runs_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].endswith("can run here")
    assert all(word in text for word in ("torch", "transformers", "peft", "lightning", "threads", "memory", "extras"))
    assert cli.main(["doctor", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["is_good"]
    assert content["problems"] == []
    assert {each["name"] for each in content["packages"]} >= {"torch", "transformers", "peft", "lightning"}
    assert content["machine"]["devices"][-1]["kind"] == "cpu"


def test_a_secret_is_in_neither_form(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "sesame")
    monkeypatch.setenv("HTTPS_PROXY", "http://ali:sesame@proxy")
    for words in (["doctor"], ["doctor", "--json"]):
        cli.main(words)
        shown = capsys.readouterr().out
        assert "sesame" not in shown
        assert "HF_TOKEN" in shown


def test_what_is_missing_is_the_first_line_and_the_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = ("no-such-package-anywhere>=2", "pytest<1")
    monkeypatch.setattr(diagnosis, "needed", lambda: replace(needed(), requirements=lacking))
    assert cli.main(["doctor"]) == 1
    first, missing, old, *_ = capsys.readouterr().out.splitlines()
    assert first == "2 in the way of runs"
    assert missing == '  no-such-package-anywhere is missing; pip install "no-such-package-anywhere>=2"'
    assert old.endswith('is installed, <1 needed; pip install "pytest<1"')


def test_a_folder_that_cannot_be_written_is_a_problem_for_runs_and_advice_for_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    good = machine.places({})
    bad = tuple(machine.place(each.what, file / "x") for each in good)
    monkeypatch.setattr(machine, "places", lambda _: bad)
    found = diagnosis.diagnose({})
    assert found.problems == [
        f"{file}/x: cannot be written; set runs_dir=DIR",
        f"{file}/x: cannot be written; set TMPDIR=DIR",
    ]
    assert len([each for each in found.advice if "are not kept" in each]) == len(bad) - 2


def test_without_torch_the_rest_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("libcudart.so: cannot open")

    monkeypatch.setattr(diagnosis, "this_machine", fail)
    found = diagnosis.diagnose({})
    assert found.machine is None
    assert found.problems == ['torch cannot be imported (libcudart.so: cannot open); pip install "torch" again']
    assert "packages" in found.to_text()
