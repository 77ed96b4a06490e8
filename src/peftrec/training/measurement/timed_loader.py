"""How long the training loop waits for batches."""

import time
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from peftrec.data.batches import SequenceBatch


class TimedLoader:
    """A loader that adds up how long the loop waits for batches."""

    def __init__(self, loader: DataLoader[SequenceBatch]) -> None:
        self.loader = loader
        self.waited_seconds = 0.0

    @property
    def sampler(self) -> Any:
        """The wrapped loader's sampler; Lightning tells it the epoch."""
        return self.loader.sampler

    @property
    def _iterator(self) -> Any:
        """The wrapped loader's; Lightning ends its workers and resets it after training. Workers that are left to the
        collector of garbage do not hear that they are to end, and it waits five seconds for each."""
        return self.loader._iterator

    @_iterator.setter
    def _iterator(self, iterator: Any) -> None:
        self.loader._iterator = iterator

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[SequenceBatch]:
        batches = iter(self.loader)
        while True:
            started = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.waited_seconds += time.perf_counter() - started
            yield batch
