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
from typing import TYPE_CHECKING, Any

from peftrec.errors import RecordError, UserError
from peftrec.results.process import this_process

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL_FILE = "journal.log"
LOCK_FILE = "tuner.lock"
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


@contextmanager
def opened_journal(folder: Path) -> Iterator["BaseStorage"]:
    """Yield the storage of a tuning's folder, mended, for this process alone.

    Raises UserError where another tuner holds it, where the file system has no locks, and where Optuna is missing;
    RecordError for a journal with a line that is none.
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
        _whole_lines(journal)
        yield JournalStorage(JournalFileBackend(str(journal)))


def copied_journal(folder: Path) -> "BaseStorage | None":
    """Return what a folder's journal holds now, for whoever asks while a tuner may write: nothing is locked, and what
    is put into the copy stays in memory. None where there is no journal.

    Raises UserError where there is one and Optuna is missing, RecordError where a line of it is none.
    """
    if not (journal := folder / JOURNAL_FILE).exists():
        return None
    require_optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend

    class InMemory(BaseJournalBackend):
        def __init__(self, lines: list[dict[str, Any]]) -> None:
            self.lines = lines

        def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
            return self.lines[log_number_from:]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            self.lines += logs

    return JournalStorage(InMemory(_whole_lines(journal)))


def _whole_lines(journal: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal, but a last one that is being written. Raises RecordError for what is no line."""
    found = []
    content = journal.read_bytes() if journal.exists() else b""
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            found.append(_operation(line))
        except ValueError as error:  # text that is not UTF-8 too
            raise RecordError(
                f"{journal}:{number}: no line of a journal of trials; put the file back as it was, or set name=NAME "
                "for a tuning of its own"
            ) from error
    return found


def _operation(line: bytes) -> dict[str, Any]:
    operation = json.loads(line)
    if not isinstance(operation, dict) or "op_code" not in operation:
        raise ValueError("no operation")
    return operation


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
