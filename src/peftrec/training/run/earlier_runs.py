"""What stands there already when a run begins: under its own name, or by other code as the answer to its question."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from peftrec.code.fingerprint import Fingerprint
from peftrec.errors import RecordError
from peftrec.results.record import RECORD_FILE, Record, read_record, write_record
from peftrec.settings.run import Reuse
from peftrec.training.run.identity import Identity

TRIALS = "trials"
"""The folder, in that of the experiment, where trials of a tuning lie."""


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


def earlier_record(run_directory: Path) -> Record | None:
    """Return what was recorded of this run before."""
    return read_record(run_directory) if (run_directory / RECORD_FILE).exists() else None


def run_folder(experiment_directory: Path, identity: Identity, reuse: Reuse) -> Path:
    """Return the run's folder: its own, or with reuse=despite_code that of a run of the same question by other code."""
    home = experiment_directory / TRIALS if identity.kind == "trial" else experiment_directory
    own = home / identity.run_id
    if reuse == "same_code" or earlier_record(own) is not None:
        return own
    chosen = choose_despite_code(find_earlier(home, identity))
    return own if chosen is None else chosen.folder


def taken(record: Record, identity: Identity, folder: Path, reuse: Reuse) -> Record:
    """Return a finished record; where other code made it, it says from now on that it was taken all the same."""
    made_by = Fingerprint(modules=record.latest.modules, versions=record.latest.packages)
    if reuse == "despite_code" and made_by.digest != identity.code.digest:
        latest = record.latest.model_copy(update={"reuse": reuse})
        record = record.model_copy(update={"stretches": [*record.stretches[:-1], latest]})
        write_record(record, folder)
    return record


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


def explain_new_code(folder: Path, identity: Identity) -> None:
    """Say, where nothing stands in a run's folder yet, that an earlier run beside it is not taken, what differs, and
    what to do about it."""
    earlier = [] if earlier_record(folder) is not None else find_earlier(folder.parent, identity)
    if not earlier:
        return
    latest = earlier[0]
    differences = identity.code.differences(latest.code)
    use = "take its figures" if latest.is_finished else "go on with it"
    print(
        f"{latest.folder}: {latest.describe()} under other code ({differences}), so this run trains anew as "
        f"{identity.run_id}; to {use} all the same, say reuse=despite_code",
        file=sys.stderr,
    )


def _runs(directory: Path, identity: Identity) -> Iterator[EarlierRun]:
    strategy = identity.run_id.rpartition("-")[0]
    for file in directory.glob(f"{strategy}-*/{RECORD_FILE}"):
        try:
            yield EarlierRun(folder=file.parent, record=read_record(file.parent))
        except RecordError as error:  # another run's: this one goes on without it
            print(f"left out: {error}", file=sys.stderr)
