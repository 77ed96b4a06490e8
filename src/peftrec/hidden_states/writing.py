"""A background thread that writes finished chunks while the towers compute the next, and how far it has come."""

import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from peftrec.hidden_states.arrays import ArrayRows
from peftrec.hidden_states.disk import explaining_disk
from peftrec.hidden_states.encoding import EncodedChunk
from peftrec.hidden_states.progress import Progress
from peftrec.hidden_states.rounding import Sums, added
from peftrec.models.towers.names import TowerName

_CHUNKS_IN_MEMORY = 4


class ChunkWriter:
    """Writes chunks in a thread of its own; every few seconds they are flushed, and only then noted as finished."""

    def __init__(self, paths: Mapping[TowerName, Path], progress: Progress, *, save_seconds: float) -> None:
        self._rows = {name: ArrayRows.for_writing(path) for name, path in paths.items()}
        self._folder = next(iter(paths.values())).parent
        self._progress = progress
        self._save_seconds = save_seconds
        self._saved_at = time.monotonic()
        self._unsaved: list[int] = []
        self._rounding: Sums = {}
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

    def put(self, chunk: EncodedChunk) -> None:
        """Take a chunk; waits where the disk is slower than the towers. Raises StoreError for an earlier chunk."""
        self._waiting.append(self._pool.submit(self._write, chunk))
        while len(self._waiting) > _CHUNKS_IN_MEMORY:
            self._waiting.popleft().result()

    def finish(self) -> None:
        """Return when every chunk is on the disk and noted."""
        while self._waiting:
            self._waiting.popleft().result()
        with explaining_disk(self._folder):
            self._save()

    def _write(self, chunk: EncodedChunk) -> None:
        arrays = chunk.arrays()
        with explaining_disk(self._folder):
            for name, rows in self._rows.items():
                rows.write(chunk.rows[name], arrays[name])
            self._unsaved.append(chunk.number)
            self._rounding = added(self._rounding, chunk.rounding())
            if time.monotonic() - self._saved_at >= self._save_seconds:
                self._save()

    def _save(self) -> None:
        for rows in self._rows.values():
            rows.flush()
        self._progress.save(self._unsaved, self._rounding)
        self._unsaved, self._rounding = [], {}
        self._saved_at = time.monotonic()
