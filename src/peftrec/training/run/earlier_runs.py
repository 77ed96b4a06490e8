"""Runs that answered the same question by other code: what stands in the way of taking them, and which to take."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from peftrec.code.fingerprint import Fingerprint
from peftrec.errors import RecordError
from peftrec.results.record import RECORD_FILE, Record, read_record
from peftrec.training.run.identity import Identity


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """A run of the same question."""

    folder: Path
    record: Record

    @property
    def code(self) -> Fingerprint:
        """The code of its latest stretch."""
        return Fingerprint(modules=self.record.latest.modules, versions=self.record.latest.packages)

    @property
    def is_finished(self) -> bool:
        return self.record.is_over

    def describe(self) -> str:
        """Say how far it came."""
        return "finished" if self.is_finished else f"stopped after {len(self.record.epochs)} epochs"


def find_earlier(experiment_directory: Path, identity: Identity) -> list[EarlierRun]:
    """Return runs of an experiment that asked the same, by other code, the latest first."""
    found = [
        run
        for run in _runs(experiment_directory, identity)
        if run.record.question_hash == identity.question_hash and run.folder.name != identity.run_id
    ]
    return sorted(found, key=lambda run: run.record.latest.started_at, reverse=True)


def choose_despite_code(earlier: list[EarlierRun]) -> EarlierRun | None:
    """Return the run that is taken where the user says that the code does not matter: a finished one, or else one that
    can go on."""
    return next((run for run in earlier if run.is_finished), earlier[0] if earlier else None)


def explain_new_code(earlier: list[EarlierRun], identity: Identity) -> None:
    """Say that an earlier run is not taken, what differs, and what to do about it."""
    if not earlier:
        return
    latest = earlier[0]
    differences = identity.code.differences(latest.code)
    taken = "take its figures" if latest.is_finished else "go on with it"
    print(
        f"{latest.folder}: {latest.describe()} under other code ({differences}), so this run trains anew as "
        f"{identity.run_id}; to {taken} all the same, say reuse=despite_code",
        file=sys.stderr,
    )


def _runs(directory: Path, identity: Identity) -> Iterator[EarlierRun]:
    strategy = identity.run_id.rpartition("-")[0]
    for file in directory.glob(f"{strategy}-*/{RECORD_FILE}"):
        try:
            yield EarlierRun(folder=file.parent, record=read_record(file.parent))
        except RecordError as error:  # another run's: this one goes on without it
            print(f"left out: {error}", file=sys.stderr)
