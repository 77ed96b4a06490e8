"""A file that stays open in one process: opened when first read, never shared with a fork, never pickled."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Opened = TypeVar("Opened")


class PerProcess(Generic[Opened]):
    """Opens `path` once per process: a forked worker that read through its parent's handle would share the position
    in the file with it, and a handle cannot be pickled to a spawned one."""

    def __init__(self, opener: Callable[[Path], Opened], path: Path) -> None:
        self.opener = opener
        self.path = path
        self._held: tuple[int, Opened] | None = None

    def get(self) -> Opened:
        """Return what `opener` opened in this process."""
        held = self._held
        if held is None or held[0] != os.getpid():
            held = self._held = (os.getpid(), self.opener(self.path))
        return held[1]

    def __getstate__(self) -> dict[str, object]:
        return {"opener": self.opener, "path": self.path, "_held": None}
