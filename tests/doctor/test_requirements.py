"""A checkout is asked what it needs now, whatever it needed when it was installed."""

from pathlib import Path

import pytest

from peftrec.cli import main as cli
from peftrec.doctor import diagnosis, requirements
from peftrec.doctor.requirements import is_stale, needed

PROJECT = """
[project]
name = "peftrec"
requires-python = ">=3.11"
dependencies = ["pytest>=1"]
[project.optional-dependencies]
good = ["pytest>=2 ; python_version > '3'", "no-such-package-anywhere"]
"""


class About(dict[str, str]):
    """Metadata as an installed distribution has them."""

    def get_all(self, key: str) -> list[str]:
        return [self[key]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project file of a checkout that was installed as it is."""
    installed = [
        "PyTest>=1",
        "no.such-package-anywhere; extra == 'good'",
        'pytest>=2; (python_version > "3") and extra == "good"',
    ]
    about = About({"Requires-Python": ">=3.11", "Provides-Extra": "good"})
    monkeypatch.setattr(requirements.metadata, "requires", lambda _: installed)
    monkeypatch.setattr(requirements.metadata, "metadata", lambda _: about)
    file = tmp_path / "pyproject.toml"
    file.write_text(PROJECT)
    return file


def test_a_checkout_says_itself_what_it_needs(project: Path) -> None:
    assert not is_stale(project)
    project.write_text(PROJECT.replace("pytest>=1", "pytest>=9999"))
    assert is_stale(project)
    assert needed(project).requirements[0] == "pytest>=9999"
    assert needed(project).extras == ("good",)


@pytest.mark.parametrize("content", [None, '[project]\nname = "another"\n', "[tool]\n"])
def test_what_is_installed_elsewhere_is_known_by_its_metadata(content: str | None, project: Path) -> None:
    project.unlink() if content is None else project.write_text(content)
    assert needed(project).requirements[0] == "PyTest>=1"
    assert not is_stale(project)


def test_the_answer_goes_by_the_checkout_and_says_that_it_changed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write_text(PROJECT.replace("pytest>=1", "no-such-package-anywhere>=2"))
    monkeypatch.setattr(diagnosis, "needed", lambda: needed(project))
    monkeypatch.setattr(diagnosis, "is_stale", lambda: is_stale(project))
    assert cli.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("1 in the way of runs\n  no-such-package-anywhere is missing; pip install")
    assert "note: this checkout was installed with other requirements than it has now" in shown
