"""Files that are whole or absent: written beside, flushed to disk, then renamed."""

import errno
import fcntl
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from hashlib import file_digest
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from peftrec.processes import Fate, fate_of, owner

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where there is no room for a file."""
UNUSABLE = frozenset(
    {
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EEXIST,  # a file, or a link to nowhere, where a folder is to be made
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)
"""What it says of a place where no folder can be made, read or written."""
NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP})
"""What it says where a file system has no locks, as some network mounts do."""

_HASHES: dict[Path, tuple[tuple[int, ...], bytes]] = {}
"""Of files that this process has read, with what they were then."""
_SECONDS_TO_SETTLE = 2
"""Longer than any file system's clock ticks."""
_SWEPT: set[Path] = set()
"""Folders in which this process has removed what others left."""
_SWEEPING = Lock()


def at_home(name: str) -> Path:
    """Return the path of `name`, with `~` as the home folder of the user, if there is such a user and folder."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def content_hash(file: Path) -> bytes:
    """Hash a file's content by SHA-256. This process reads it once as long as it stays the same file: by its place on
    the disk, its size and both of its times. One that was written a moment ago is always read again, because another
    write need not show in its times."""
    path, before = file.resolve(), _stamp(file)
    if (known := _HASHES.get(path)) is not None and known[0] == before:
        return known[1]
    with file.open("rb") as stream:
        found = file_digest(stream, "sha256").digest()
    age = time.time_ns() - max(before[-2:])
    if age > _SECONDS_TO_SETTLE * 10**9 and _stamp(file) == before:
        _HASHES[path] = (before, found)
    return found


def _stamp(file: Path) -> tuple[int, ...]:
    status = file.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`; a crash at any moment leaves the old file or the new one."""
    write_stream_atomically(path, lambda stream: stream.write(content))


def write_stream_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in its place; on failure nothing is left behind."""
    with written_beside(path) as beside, beside.open("wb") as stream:
        write(stream)


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yield where to write what becomes `path`: flushed to disk and renamed at the end; on failure nothing is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(path.parent)
    beside = path.with_name(partial_name(path.name))
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
        sync_directory(path.parent)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def folder_written_beside(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which becomes `path` at the end: all of it flushed to disk, then renamed. A folder
    that is at `path` gives way only then; on failure, or when the process is killed, nothing new stands at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(path.parent)
    beside, old = (path.with_name(partial_name(name)) for name in (path.name, f"{path.name}.old"))
    beside.mkdir()
    try:
        yield beside
        for written in sorted(beside.rglob("*"), reverse=True):  # what a folder holds before the folder
            _sync(written)
        _sync(beside)
        if path.exists():
            path.rename(old)
        beside.rename(path)
        sync_directory(path.parent)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def no_empty_folders(folder: Path) -> Iterator[None]:
    """Remove, at the end, what was not there at the beginning of a folder and those above it, and is empty: what is
    refused leaves nothing."""
    made = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]  # of a name of any length
    try:
        yield
    finally:
        for each in made:
            if os.path.lexists(each) and not any(each.iterdir()):
                with suppress(OSError):  # another process has put something into it
                    each.rmdir()


class Holding:
    """A lock file that one process holds at a time. The system takes it back when its holder dies, whatever the clock
    says; processes that the holder forks do not inherit it.

    Where the file system has no locks, everybody gets it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Take it, and say whether it could be taken."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while self._handle is None:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(handle)
                if error.errno in NO_LOCKS:
                    return True
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    return False
                raise
            if _is_at(handle, self.path):
                self._handle = handle
            else:
                os.close(handle)  # who held it has just removed it
        return True

    def release(self) -> None:
        """Give it back, and leave no file."""
        if self._handle is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def names_below(folder: Path) -> Iterator[str]:
    """Yield the files of a folder and of all folders below it but hidden ones, as paths from there, in one order; see
    `folders_below`."""
    for place, entries in folders_below(folder):
        yield from (place + entry.name for entry in entries if entry.is_file())


def folders_below(folder: Path) -> Iterator[tuple[str, list["os.DirEntry[str]"]]]:
    """Yield a folder and all below it but hidden ones: the path from there, empty or with a slash, and what it holds.

    Links are followed, and each folder is entered once, however many ways lead to it: those that lie there before those
    that links lead to, so that a circle ends. Raises OSError where a folder cannot be listed.
    """
    entered: set[tuple[int, int]] = set()
    waiting, linked = deque([""]), deque[str]()
    while waiting or linked:
        place = (waiting or linked).popleft()
        status = (folder / place).stat()
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        with os.scandir(folder / place) as listed:
            entries = sorted(filter(_leads_somewhere, listed), key=lambda entry: entry.name)
        yield place, entries
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                (linked if entry.is_symlink() else waiting).append(f"{place}{entry.name}/")


def _leads_somewhere(entry: "os.DirEntry[str]") -> bool:
    return not entry.is_symlink() or Path(entry.path).exists()


def try_writing(folder: Path) -> None:
    """Write a file into a folder, made where it is missing, and remove it: what takes long asks beforehand. Raises
    OSError with the folder's name where that cannot be."""
    trial = folder / partial_name("trial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        error.filename = str(folder)
        raise


def partial_name(name: str) -> str:
    """Return the name, beside its place, under which this process writes `name` until it is whole."""
    return f".{name}.{owner()}.partial"


def remove_abandoned(directory: Path, name: str | None = None) -> None:
    """Remove what killed processes of this machine were writing in `directory`, only as `name` if that is given."""
    for partial in directory.glob(f".{'*' if name is None else escape(name)}.*.partial"):
        if _is_abandoned(partial):
            _remove(partial)


def abandoned_partials(directory: Path) -> list[Path]:
    """Return what killed processes of this machine were writing below `directory`."""
    return [path for path in sorted(directory.rglob(".*.partial")) if _is_abandoned(path)]


def _remove(partial: Path) -> None:
    """Remove a file or folder, which another process may be removing at this moment."""
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)


def _is_abandoned(partial: Path) -> bool:
    return _fate(partial) in ("own", "gone")


def _fate(partial: Path) -> Fate:
    return fate_of(partial.name.split(".")[-2])


def _sweep_once(directory: Path) -> None:
    """Remove what killed processes left in a folder, before this process writes there for the first time."""
    with _SWEEPING:
        if directory in _SWEPT:
            return
        _SWEPT.add(directory)
        for partial in directory.glob(".*.partial"):
            if _fate(partial) == "gone":
                _remove(partial)


def sync_directory(directory: Path) -> None:
    """Make a rename inside `directory` survive a power cut."""
    _sync(directory)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
