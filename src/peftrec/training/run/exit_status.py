"""What an exception says about how a run ended."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from peftrec.results.record import Status


@contextmanager
def interruption() -> Iterator[None]:
    """Raise KeyboardInterrupt again where something turned it into another error; what else ends a run passes.

    Lightning makes a SystemExit of it, and torch a RuntimeError where it came while a checkpoint was written: the file
    that it then closes is shorter than it expects.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt) and isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


def status_of(error: BaseException) -> Status:
    """Return the status that a record keeps; SystemExit is how a job leaves that its cluster submits again."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out_of_memory"
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "interrupted"
    return "failed"
