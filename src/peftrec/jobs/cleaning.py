"""What a folder of runs holds that nobody needs any more."""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from peftrec.files import abandoned_partials
from peftrec.hidden_states.listing import FoundStore, find_stores, remove
from peftrec.jobs.temporary import abandoned_folders
from peftrec.results.runs import Run, find_runs
from peftrec.results.superseded import newest


@dataclass(frozen=True, kw_only=True)
class Waste:
    """One thing that can go."""

    path: Path
    why: str
    store: FoundStore | None = None

    @property
    def num_bytes(self) -> int:
        """Size of all files of it."""
        if not self.path.is_dir():
            return self.path.stat().st_size
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def remove(self) -> None:
        """Remove it; a store under the lock of its builders."""
        if self.store is not None:
            remove(self.store)
        elif self.path.is_dir():
            shutil.rmtree(self.path)
        else:
            self.path.unlink()


def find_waste(runs_dir: Path) -> list[Waste]:
    """Return what can go below a folder of runs, and what killed processes left in the system's temporary folder. Runs
    that links lead to count as readers of stores; what lies elsewhere is not for this folder to remove.

    Raises RecordError where the folder holds no run, or a record that cannot be read: then nobody knows what it needs.
    """
    runs = find_runs(runs_dir, with_trials=True)
    superseded = [waste for waste in _superseded(runs) if _lies_in(waste.path, runs_dir)]
    gone = {waste.path for waste in superseded}
    return [
        *superseded,
        *_unread_stores(runs_dir, [run for run in runs if run.folder not in gone]),
        *(Waste(path=path, why="left by a process that was killed") for path in abandoned_partials(runs_dir)),
        *(Waste(path=path, why="left by a process that was killed") for path in abandoned_folders()),
    ]


def _lies_in(folder: Path, runs_dir: Path) -> bool:
    return folder.resolve() == runs_dir.resolve() / folder.relative_to(runs_dir)


def _superseded(runs: Iterable[Run]) -> Iterator[Waste]:
    """Yield runs of a question that a later run of other code has answered. One that has not finished supersedes
    nothing, and may still go on."""
    by_question: dict[tuple[Path, str], list[Run]] = defaultdict(list)
    for run in runs:
        by_question[run.folder.parent, run.record.question_hash].append(run)
    for group in by_question.values():
        kept = newest(group)
        for run in group:
            is_older = run.record.latest.started_at < kept.record.latest.started_at
            if kept.is_success and is_older and run.record.effective_status() != "running":
                yield Waste(path=run.folder, why=f"superseded by {kept.name}, which later code trained")


def _unread_stores(runs_dir: Path, runs: Iterable[Run]) -> Iterator[Waste]:
    """Yield whole stores that no run reads; one that reads stores and has not said yet which keeps them all."""
    runs = list(runs)
    if any(_will_read(run) for run in runs):
        return
    read = {run.record.store for run in runs}
    for folder in sorted(path for path in runs_dir.rglob("hidden_states") if path.is_dir()):
        for store in find_stores(folder):
            if store.state == "whole" and store.folder.name not in read:
                yield Waste(path=store.folder, why="a store that no run here reads", store=store)


def _will_read(run: Run) -> bool:
    strategy = run.record.config.get("strategy")
    reads = isinstance(strategy, dict) and strategy.get("states") == "store"
    return reads and run.record.store is None and not run.is_success
