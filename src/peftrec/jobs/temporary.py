"""Temporary folders that say whose they are, so that those of processes that were killed can be told and removed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from peftrec.processes import fate_of, owner

_PREFIX = "peftrec-"


def temporary_folder() -> "TemporaryDirectory[str]":
    """Return a folder that goes with its block, readable by its owner alone; first, those that killed processes of this
    user left are removed."""
    for left in abandoned_folders():
        shutil.rmtree(left, ignore_errors=True)  # another process may be removing it
    return TemporaryDirectory(prefix=f"{_PREFIX}{owner()}-")


def abandoned_folders() -> Iterator[Path]:
    """Yield the folders of this user's processes that are gone."""
    for folder in sorted(Path(gettempdir()).glob(f"{_PREFIX}*-*")):
        whose = folder.name.removeprefix(_PREFIX).rpartition("-")[0]
        if fate_of(whose) == "gone" and folder.lstat().st_uid == os.getuid():
            yield folder
