"""What an exception says about how a run ended."""

import torch

from peftrec.results.record import Status


def status_of(error: BaseException) -> Status:
    """Return the status that a record keeps; Lightning turns Ctrl-C into SystemExit."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out_of_memory"
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "interrupted"
    return "failed"
