"""Names of modules that somebody else has already are not a user's, whatever lies in the user's folder."""

from pathlib import Path

import pytest

from peftrec.code.places import Sources


def write(file: Path) -> Path:
    file.parent.mkdir(parents=True)
    file.write_text("")
    return file


@pytest.mark.parametrize("name", ["json", "sys", "torch", "hydra_plugins"])
def test_a_module_that_is_installed_is_taken(name: str, tmp_path: Path) -> None:
    """`hydra_plugins` has no file of its own; a user's would hide ours, and no configuration would compose."""
    write(tmp_path / name / "mine.py")
    found = Sources(folders=(tmp_path,))
    assert found.taken(name)
    assert not found.owns(name)
    assert found.find(f"{name}.mine") is None


def test_a_folder_of_the_users_that_python_knows_too_stays_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "mine" / "part.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert Sources(folders=(tmp_path,)).owns("mine")


def test_a_folder_without_modules_takes_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "elsewhere" / "mine" / "notes.txt")
    write(tmp_path / "code" / "mine.py")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    assert Sources(folders=(tmp_path / "code",)).owns("mine")
