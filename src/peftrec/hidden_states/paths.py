"""Names of what lies in a folder of stores."""

import re
from collections.abc import Iterator
from pathlib import Path

_BUILDING, _LOCK, _EXACT = ".building", ".lock", ".exact.npy"
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


def array_path(folder: Path, tower: str) -> Path:
    """Return where a tower's array lies."""
    return folder / f"{tower}.npy"


def exact_path(folder: Path, tower: str) -> Path:
    """Return where a tower's states grow that are rounded when all of them are there."""
    return folder / f"{tower}{_EXACT}"


def exact_paths(folder: Path) -> Iterator[Path]:
    """Yield those that there are."""
    return folder.glob(f"*{_EXACT}")
