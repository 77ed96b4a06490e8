"""One builder a store: a lock that the system takes back when its holder dies, and that says who holds it."""

import errno
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from peftrec.errors import StoreError

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""What a file system without locks says, as some network mounts are."""


@contextmanager
def builder_lock(path: Path, store: Path) -> Iterator[None]:
    """Hold the lock file `path` while `store` is built; wait for another builder, and say once which it is.

    Raises StoreError where the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _acquire(path, store)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Say whether a process holds the lock now."""
    try:
        handle = os.open(path, os.O_RDWR)
    except (FileNotFoundError, IsADirectoryError):
        return False
    try:
        return not _try(handle, path)
    finally:
        os.close(handle)


def describe_holder(path: Path) -> str:
    """Return who wrote the lock file: `process 12 on host a, since ...`."""
    try:
        holder = json.loads(path.read_bytes())
        return f"process {holder['process_id']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, LookupError, TypeError):  # between taking the lock and writing its name
        return "another process"


def _acquire(path: Path, store: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if not _try(handle, path):
            print(f"waiting for {describe_holder(path)}, which builds {store}", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_in_place(handle, path):
            break
        os.close(handle)  # its holder has finished and removed it
    os.ftruncate(handle, 0)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"process_id": os.getpid(), "host": os.uname().nodename, "since": since}
    os.write(handle, json.dumps(holder).encode())
    return handle


def _try(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise StoreError(
            f"{path}: this file system has no locks ({error.strerror}), and two processes could build one store; set "
            "hidden_states.directory=DIR to a folder on another"
        ) from error
    return True


def _is_in_place(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
