"""A background thread that writes finished chunks while the towers compute the next, and how far it has come."""

import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from peftrec.hidden_states.arrays import ArrayRows
from peftrec.hidden_states.disk import explaining_disk
from peftrec.hidden_states.progress import Progress

_CHUNKS_IN_MEMORY = 4


class ChunkWriter:
    """Writes chunks in a thread of its own; every few seconds they are flushed, and only then noted as finished."""

    def __init__(self, paths: Mapping[str, Path], progress: Progress, *, save_seconds: float) -> None:
        self._rows = {name: ArrayRows.for_writing(path) for name, path in paths.items()}
        self._folder = next(iter(paths.values())).parent
        self._progress = progress
        self._save_seconds = save_seconds
        self._saved_at = time.monotonic()
        self._unsaved: list[int] = []
        self._waiting: deque[Future[None]] = deque()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> "ChunkWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        for rows in self._rows.values():
            rows.close()

    def put(self, number: int, items: npt.NDArray[np.int64], arrays: Mapping[str, npt.NDArray[np.floating]]) -> None:
        """Take a chunk; waits where the disk is slower than the towers. Raises StoreError for an earlier chunk."""
        self._waiting.append(self._pool.submit(self._write, number, items, arrays))
        while len(self._waiting) > _CHUNKS_IN_MEMORY:
            self._waiting.popleft().result()

    def finish(self) -> None:
        """Return when every chunk is on the disk and noted."""
        while self._waiting:
            self._waiting.popleft().result()
        with explaining_disk(self._folder):
            self._save()

    def _write(self, number: int, items: npt.NDArray[np.int64], arrays: Mapping[str, npt.NDArray[np.floating]]) -> None:
        with explaining_disk(self._folder):
            for name, rows in self._rows.items():
                rows.write(items, arrays[name])
            self._unsaved.append(number)
            if time.monotonic() - self._saved_at >= self._save_seconds:
                self._save()

    def _save(self) -> None:
        for rows in self._rows.values():
            rows.flush()
        self._progress.save(self._unsaved)
        self._unsaved = []
        self._saved_at = time.monotonic()
