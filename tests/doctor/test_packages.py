"""Requirements beside what is installed."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from markdown_pages import REPOSITORY

from peftrec.cli.doctor import uses_of_extras
from peftrec.doctor.packages import extras, required_packages

REQUIREMENTS = [
    "pytest>=1",
    "pytest>=9999",
    "no-such-package-anywhere>=2",
    'pytest>=2; extra == "good"',
    'no-such-package-anywhere; extra == "bad"',
    'pytest; python_version < "3"',
]
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_what_is_required_is_there_or_named() -> None:
    good, old, missing = required_packages(REQUIREMENTS)
    version = metadata.version("pytest")
    assert (good.is_good, good.installed, good.needed) == (True, version, ">=1")
    assert (old.is_good, old.installed, old.needed) == (False, version, ">=9999")
    assert (missing.is_good, missing.installed) == (False, None)
    assert "OTHER VERSION" in old.to_text()
    assert "MISSING" in missing.to_text()


def test_a_missing_extra_says_which_verb_wants_it_and_how_to_get_it() -> None:
    good, bad = extras(REQUIREMENTS, ["good", "bad", "dev"], {"bad": {"train": "logger=x"}})
    assert (good.is_installed, good.remedy, good.verbs) == (True, None, {})
    assert (bad.is_installed, bad.remedy, bad.verbs) == (False, 'pip install "peftrec[bad]"', {"train": "logger=x"})
    assert "train: logger=x" in bad.to_text()


def test_extras_that_verbs_name_are_extras() -> None:
    assert {*uses_of_extras()} <= {*PROJECT["optional-dependencies"]} - {"dev"}


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_this_environment_is_good(requirement: str) -> None:
    (package,) = required_packages([requirement])
    assert package.is_good


def test_a_verb_names_the_options_that_import_an_extra() -> None:
    """And no other: `profile=pinnersage` does without."""
    sources = (REPOSITORY / "src" / "peftrec").rglob("*.py")
    asked = re.findall(r'optional_module\("[\w.]+", key="([^"]+)"\)', "".join(file.read_text() for file in sources))
    options = {key for key in asked if "=" in key}
    assert options
    for verb in ("recommend", "retrieval"):
        assert set(re.findall(r"\w+=\w+", uses_of_extras()["profiles"][verb])) == options


def test_the_quickstart_lists_every_extra() -> None:
    text = (REPOSITORY / "docs" / "quickstart.md").read_text(encoding="utf-8")
    rows = re.search(r"^\| extra \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    assert rows is not None
    listed = [name for row in rows[0].splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(listed) == sorted({*PROJECT["optional-dependencies"]} - {"dev", "docs"})
