"""Whether the files that the configuration names are there; each message names the key to correct."""

from pathlib import Path
from typing import Literal

from peftrec.errors import DataError, shortlist
from peftrec.files import at_home


def require_folder(folder: str, *, key: str) -> Path:
    """Return the folder that the configuration names under `key`."""
    path = at_home(folder)
    kind = kind_of(path, key=key)
    if kind != "folder":
        raise DataError(f"{path}: {'no such' if kind == 'nothing' else 'not a'} folder: correct {key}")
    return path


IDS_ALONE = "strategy=id towers.text=null towers.image=null"
"""How data without titles and images is trained on."""


def require_file(root: Path, name: str, *, key: str, otherwise: str = "") -> Path:
    """Return the file `name` of `root`, which the configuration names under `key`; `otherwise` ends the message where
    there is none."""
    path = root / name
    if (kind := kind_of(path, key=key)) != "file":
        there = "no such file" if kind == "nothing" else "a folder and not a file"
        raise DataError(f"{path}: {there}: correct {key} or data.root ({root} holds {contents_of(root)}){otherwise}")
    return path


def kind_of(path: Path, *, key: str) -> Literal["folder", "file", "nothing"]:
    """Return what lies at `path`; a path that may not be looked at is an error."""
    try:
        if path.is_dir():
            return "folder"
        return "file" if path.is_file() else "nothing"
    except OSError as error:
        raise DataError(f"{path}: cannot be reached ({error.strerror}): correct {key}") from error


def contents_of(root: Path) -> str:
    """Return what a folder holds, for messages."""
    try:
        return shortlist(sorted(entry.name for entry in root.iterdir())) or "nothing"
    except OSError as error:
        return f"files that cannot be listed: {error.strerror}"
