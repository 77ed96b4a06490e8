"""What a tracker is, and how several are fed: whatever one of them says, a run goes on and keeps what it has."""

import sys
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from peftrec.errors import SettingsError
from peftrec.outputs.safe_text import for_line
from peftrec.results.costs import Epoch
from peftrec.results.record import Record

LONGEST = 200
"""Characters of what a tracker says."""


class Tracker(Protocol):
    """Shows a run's record elsewhere, while it grows and when it is whole."""

    name: ClassVar[str]
    """For messages: `W&B`."""
    without: ClassVar[str]
    """The setting that leaves it out."""
    failures: tuple[type[Exception], ...]
    """What it raises where it cannot go on."""

    def begin(self) -> int:
        """Begin a run, or go on with it where it stands, and return how many epochs it has."""

    def log(self, epoch: Epoch) -> None:
        """Add an epoch; they come in order."""

    def end(self, record: Record) -> None:
        """Add what the run ended with, however it ended."""


class Feed:
    """Trackers that have begun, told of a run from its record alone.

    Each gets every epoch once, also those that were trained before the run was resumed. One that fails gets nothing
    more, and says so once.
    """

    def __init__(self, trackers: Sequence[Tracker], record: Record) -> None:
        """Begin them. Raises SettingsError where one cannot; those that had begun are ended."""
        self._next: dict[Tracker, int] = {}
        for tracker in trackers:
            try:
                self._next[tracker] = tracker.begin()
            except tracker.failures as error:
                self.end(record.model_copy(update={"status": "failed"}))
                raise SettingsError(
                    f"{tracker.name} began no run: {explain(error)}; mend that, or leave it out: {tracker.without}"
                ) from error

    def after_epoch(self, epochs: Sequence[Epoch]) -> None:
        """Pass on the epochs trained so far."""
        for tracker in list(self._next):
            self._guarded(tracker, self._catch_up, tracker, epochs)

    def end(self, record: Record) -> None:
        """Pass on what a run ended with."""
        for tracker in list(self._next):
            self._guarded(tracker, self._finish, tracker, record)

    def _finish(self, tracker: Tracker, record: Record) -> None:
        self._catch_up(tracker, record.epochs)
        tracker.end(record)

    def _catch_up(self, tracker: Tracker, epochs: Sequence[Epoch]) -> None:
        for epoch in epochs[self._next[tracker] :]:
            tracker.log(epoch)
            self._next[tracker] = epoch.epoch + 1

    def _guarded(self, tracker: Tracker, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(*arguments)
        except tracker.failures as error:
            del self._next[tracker]
            print(
                f"warning: {tracker.name} takes no more of this run ({explain(error)}); the run goes on without it, "
                "and its record has everything",
                file=sys.stderr,
            )


def explain(error: Exception) -> str:
    """Return what a tracker says, in one line and not at length."""
    return for_line(" ".join(str(error).split()))[:LONGEST].rstrip(".") or type(error).__name__
