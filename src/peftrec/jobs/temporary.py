"""Temporary folders that say whose they are, so that those of processes that were killed can be told."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import psutil

_PREFIX = "peftrec-"


def temporary_folder() -> "TemporaryDirectory[str]":
    """Return a folder that goes with its block, readable by its owner alone."""
    return TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-")


def abandoned_folders() -> Iterator[Path]:
    """Yield the folders of this user's processes that are gone."""
    for folder in Path(gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and folder.stat().st_uid == os.getuid() and not psutil.pid_exists(int(owner)):
            yield folder
