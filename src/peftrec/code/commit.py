"""The commit that a source file is of, where a git repository tracks it."""

import subprocess
from functools import cache
from pathlib import Path

from peftrec.code.places import PACKAGE_FOLDER

SourceState = tuple[str | None, bool | None]
"""The commit, and whether the repository has changes that are not committed; both null where none tracks the file."""


@cache
def package_state() -> SourceState:
    """Return the state of this package when it was first asked for. Who loads the package for processes to come asks
    then: what they run was read at that moment, whatever is committed meanwhile."""
    return source_state(PACKAGE_FOLDER / "__init__.py")


def source_state(file: Path) -> SourceState:
    """Return the state of a source file's repository; an installation may lie in the folder of somebody's own, which
    does not track it."""
    if _git(file, "ls-files", "--error-unmatch", file.name) is None:
        return None, None
    changes = _git(file, "status", "--porcelain")
    return _git(file, "rev-parse", "HEAD"), None if changes is None else bool(changes)


def _git(file: Path, *arguments: str) -> str | None:
    """Ask git about a file's folder; null where git is missing or has no answer."""
    command = ["git", "-C", str(file.parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
