"""A trial of a tuning and its tuner: the trial says after each epoch how good it is, and waits for word at the rungs.

They meet in a folder. The trial writes `progress.json`; where the tuner wants to decide, after so many epochs as it has
said, the trial waits for `after-EPOCHS.txt`, which holds `go` or `stop`. It can wait without a limit: a process whose
tuner is gone is ended (see peftrec.jobs.attaching). Only the tuner knows the other trials and the rule.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from peftrec.files import write_atomically
from peftrec.results.costs import Epoch
from peftrec.trackers.figures import TrialName

GO, STOP = "go", "stop"
PROGRESS_FILE = "progress.json"
_LOOK_SECONDS = 0.02


class TrialOrder(BaseModel):
    """What a trial is told before it starts; plain data."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    folder: str
    """Where trial and tuner meet."""
    name: TrialName | None = None
    """What trackers call it."""
    rungs: tuple[int, ...] = ()
    """Numbers of epochs after which the trial waits for word; none are asked where it is never stopped."""


class TrialProgress(BaseModel):
    """What a trial says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    run_directory: str
    values: list[float] = []
    """The monitored validation metric of each epoch so far."""


class TrialWatch:
    """The trial's side."""

    def __init__(self, order: TrialOrder, *, monitor: str, run_directory: Path) -> None:
        self.order = order
        self.monitor = monitor
        self.run_directory = run_directory
        self._tell([])

    def goes_on(self, epochs: Sequence[Epoch]) -> bool:
        """Say how good the epochs were, and return whether another may follow."""
        self._tell([epoch.validation[self.monitor] for epoch in epochs])
        reached = [rung for rung in self.order.rungs if rung <= len(epochs)]
        return all(self._answer(rung) != STOP for rung in reached)

    def _tell(self, values: list[float]) -> None:
        progress = TrialProgress(run_directory=str(self.run_directory), values=values)
        write_atomically(Path(self.order.folder) / PROGRESS_FILE, progress.model_dump_json().encode())

    def _answer(self, rung: int) -> str:
        file = answer_file(Path(self.order.folder), rung)
        while not file.exists():
            time.sleep(_LOOK_SECONDS)
        return file.read_text(encoding="utf-8")


def answer_file(folder: Path, rung: int) -> Path:
    """Return where the tuner answers a trial that has trained so many epochs."""
    return folder / f"after-{rung}.txt"


def read_progress(folder: Path) -> TrialProgress | None:
    """Return what a trial has said so far, None before it has begun."""
    file = folder / PROGRESS_FILE
    return TrialProgress.model_validate_json(file.read_bytes()) if file.exists() else None


def give_answer(folder: Path, rung: int, *, goes_on: bool) -> None:
    """Let a trial that waits go on, or stop."""
    write_atomically(answer_file(folder, rung), (GO if goes_on else STOP).encode())
