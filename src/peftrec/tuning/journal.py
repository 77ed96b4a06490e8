"""The journal of a tuning: one file of JSON lines, which Optuna writes and a tuner that is started again reads.

Optuna (5.0) leaves two things to whoever starts processes that may be killed. A line that was half written when its
process died joins the next one, and no study of the file can be opened any more (its issue 5138); and the lock of a
dead writer holds others up for half a minute. So one tuner at a time holds a lock that the system takes back when its
holder dies, and under it the broken line is cut off and a lock that was left behind removed.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from peftrec.errors import UserError
from peftrec.results.process import this_process

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL_FILE = "journal.log"
LOCK_FILE = "tuner.lock"
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


@contextmanager
def opened_journal(folder: Path) -> Iterator["BaseStorage"]:
    """Yield the storage of a tuning's folder, mended, for this process alone.

    Raises UserError where another tuner holds it, where the file system has no locks, and where Optuna is missing.
    """
    require_optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder / LOCK_FILE):
        journal = folder / JOURNAL_FILE
        cut_broken_line(journal)
        for left in folder.glob(f"{JOURNAL_FILE}.*"):  # the lock of a writer that was killed, or its renamed remains
            left.unlink()
        yield JournalStorage(JournalFileBackend(str(journal)))


def require_optuna() -> None:
    """Raise UserError where Optuna is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise UserError('peftrec tune needs Optuna: pip install "peftrec[tune]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def cut_broken_line(journal: Path) -> None:
    """Cut off what stands behind the last whole line."""
    if not journal.exists():
        return
    with journal.open("r+b") as stream:
        content = stream.read()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            stream.truncate(end)
            stream.flush()
            os.fsync(stream.fileno())


@contextmanager
def _held(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{path.parent}: {_holder(path)} tunes here already; wait for it, or stop it and give the command again"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise UserError(
                f"{path}: this file system has no locks ({error.strerror}), and two tuners could use one budget; set "
                "runs_dir=DIR to a folder on another"
            ) from error
        os.ftruncate(handle, 0)
        os.write(handle, this_process().model_dump_json().encode())
        yield
    finally:
        os.close(handle)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_bytes())
        return f"process {holder['process_id']} on {holder['host']}"
    except (OSError, ValueError, LookupError, TypeError):  # between taking the lock and writing its name
        return "another process"
