"""What an exception says about how a run ended."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from peftrec.results.record import Status


@contextmanager
def interruption() -> Iterator[None]:
    """Raise KeyboardInterrupt again where Lightning turned it into SystemExit; any other SystemExit passes."""
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


def status_of(error: BaseException) -> Status:
    """Return the status that a record keeps; SystemExit is how a job leaves that its cluster submits again."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out_of_memory"
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "interrupted"
    return "failed"
