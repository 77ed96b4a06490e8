"""A started process and the one that started it: interruptions are held back until they can be heard, and neither
outlives the other."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Keep SIGINT back, in this thread and in what it starts meanwhile."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def attach() -> None:
    """Take one's place, as a started process, below the one that started it: hear its interruptions, which were held
    back until now, and die with it. Until somebody records one, an interruption ends the process without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True, name="die-with-parent").start()
