"""What is said about the state of the source."""

import subprocess
from pathlib import Path

from peftrec.code.commit import source_state


def git(folder: Path, *arguments: str) -> str:
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *author, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_a_repository_that_tracks_the_source(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("a = 1")
    assert source_state(own) == (None, None)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    assert source_state(own) == (git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / ".gitignore").write_text(".venv")
    assert source_state(own) == (git(tmp_path, "rev-parse", "HEAD"), True)
    installed = tmp_path / ".venv" / "installed.py"
    installed.parent.mkdir()
    installed.write_text("a = 1")
    assert source_state(installed) == (None, None), "the repository of whoever installed it is not the package's"
