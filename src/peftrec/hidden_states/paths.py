"""Names of what lies in a folder of stores."""

import re
from pathlib import Path

_BUILDING, _LOCK = ".building", ".lock"
_STORE = re.compile(r"[0-9a-f]{16}(\.building)?")


def building_path(folder: Path) -> Path:
    """Return where the store `folder` grows."""
    return folder.with_name(folder.name + _BUILDING)


def lock_path(folder: Path) -> Path:
    """Return the file that the builder of `folder` holds."""
    return folder.with_name(folder.name + _LOCK)


def is_store(path: Path) -> bool:
    """Say whether a folder is a store, or one that grows; nothing else is ever listed or removed."""
    return path.is_dir() and _STORE.fullmatch(path.name) is not None


def is_growing(path: Path) -> bool:
    """Say whether a store's folder is the one that it grows in."""
    return path.name.endswith(_BUILDING)


def finished_path(path: Path) -> Path:
    """Return the folder of the store that is, or grows, at `path`."""
    return path.with_name(path.name.removesuffix(_BUILDING))


def array_path(folder: Path, modality: str) -> Path:
    """Return where a tower's array lies."""
    return folder / f"{modality}.npy"
