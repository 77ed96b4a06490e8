"""Which stores a folder holds, in what state they are, and which of them may go."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from peftrec.errors import StoreError
from peftrec.files import partial_name, remove_abandoned
from peftrec.hidden_states.disk import explaining_disk
from peftrec.hidden_states.key import StoreKey
from peftrec.hidden_states.locking import builder_lock, describe_holder, is_locked
from peftrec.hidden_states.manifest import StoreCode, TowerOrigin, read_manifest
from peftrec.hidden_states.paths import finished_path, is_growing, is_store, lock_path
from peftrec.hidden_states.progress import is_progress_of, read_finished, read_plan
from peftrec.hidden_states.verification import find_problems

State = Literal["whole", "building", "abandoned", "damaged"]


@dataclass(frozen=True, kw_only=True)
class FoundStore:
    """A store as it was found, without reading its arrays."""

    folder: Path
    state: State
    num_bytes: int
    used_at: float
    """When it was last opened, or worked on; seconds since 1970."""
    note: str = ""
    """Who builds it and how far, or what is wrong."""
    key: StoreKey | None = None
    origins: dict[str, TowerOrigin] | None = None
    code: StoreCode | None = None


def find_stores(place: Path) -> list[FoundStore]:
    """Return the store at `place`, or those in it, in the order of their names. Raises StoreError without a folder."""
    with explaining_disk(place):
        if not place.is_dir():
            raise StoreError(f"{place}: no such folder of stores; name one, or set hidden_states.directory=DIR")
        folders = [place] if is_store(place) else sorted(filter(is_store, place.iterdir()))
        return [_growing(folder) if is_growing(folder) else _finished(folder) for folder in folders]


def removable(stores: list[FoundStore], *, unused_seconds: int | None) -> list[FoundStore]:
    """Return what nobody builds and cannot be read, and what was not read for `unused_seconds`."""
    now = time.time()
    return [
        store
        for store in stores
        if store.state in ("abandoned", "damaged")
        or (store.state == "whole" and unused_seconds is not None and now - store.used_at > unused_seconds)
    ]


def remove(store: FoundStore) -> None:
    """Remove a store; what is cut off on the way is no store any more and goes with the next removal."""
    directory = store.folder.parent
    with explaining_disk(directory), builder_lock(lock_path(finished_path(store.folder)), store.folder):
        gone = directory / partial_name(store.folder.name)
        store.folder.rename(gone)
        shutil.rmtree(gone)
    remove_abandoned(directory)


def _finished(folder: Path) -> FoundStore:
    try:
        manifest = read_manifest(folder)
        problem = next(find_problems(folder, extent="sizes"), None)
    except StoreError as error:
        return FoundStore(
            folder=folder, state="damaged", num_bytes=_size(folder), used_at=folder.stat().st_mtime, note=str(error)
        )
    return FoundStore(
        folder=folder,
        state="whole" if problem is None else "damaged",
        num_bytes=_size(folder),
        used_at=folder.stat().st_mtime,
        note=problem or "",
        key=manifest.key,
        origins=manifest.origins,
        code=manifest.code,
    )


def _growing(folder: Path) -> FoundStore:
    lock = lock_path(finished_path(folder))
    plan = read_plan(folder)
    goes_on = plan is not None and is_progress_of(folder, plan)
    part = len(read_finished(folder).chunks) / plan.num_chunks if plan is not None and goes_on else 0.0
    is_alive = is_locked(lock)
    return FoundStore(
        folder=folder,
        state="building" if is_alive else "abandoned",
        num_bytes=_size(folder),
        used_at=_changed(folder),
        note=f"{part:.0%} computed" + (f" by {describe_holder(lock)}" if is_alive else "; the same run resumes it"),
        key=None if plan is None else plan.key,
        origins=None if plan is None else plan.origins,
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _changed(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
