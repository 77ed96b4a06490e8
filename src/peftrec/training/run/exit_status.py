"""What an exception says about how a run ended."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from peftrec.errors import UserError
from peftrec.files import FULL, UNUSABLE
from peftrec.processes import Terminated
from peftrec.results.record import Status

_OF_A_WORKER = re.compile(r"\ACaught \w+ in DataLoader worker process \d+\.\n.*\n[\w.]+Error: ", re.DOTALL)
"""What torch writes before the words of an error that another process raised: all of its traceback."""


@contextmanager
def interruption() -> Iterator[None]:
    """Raise KeyboardInterrupt or Terminated again where something turned it into another error, and OSError where torch
    did; a mistake that a loader's worker found, in its own words; what else ends a run passes.

    Lightning makes a SystemExit of the first, and torch a RuntimeError of any that comes while a checkpoint is written,
    a full disk too: the file that it then closes is shorter than it expects.
    """
    try:
        yield
    except BaseException as error:
        cause = error.__context__
        if isinstance(error, KeyboardInterrupt | Terminated):
            raise
        if isinstance(cause, KeyboardInterrupt | Terminated):
            raise type(cause) from error
        if isinstance(error, UserError) and (words := _OF_A_WORKER.sub("", str(error))) != str(error):
            raise type(error)(words.rstrip("\n")) from error
        if isinstance(error, RuntimeError) and isinstance(cause, OSError) and cause.errno in FULL | UNUSABLE:
            raise cause from error
        raise


def status_of(error: BaseException) -> Status:
    """Return the status that a record keeps; SystemExit is how a job leaves that its cluster submits again."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out_of_memory"
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "interrupted"
    return "failed"
