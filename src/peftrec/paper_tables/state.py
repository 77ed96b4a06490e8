"""What of a table is done, and how long it took: from the records of its runs, and from a file a table.

The file says how long the table took the last time that there was anything to do for it; to find everything finished
does not change it.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from pydantic import BaseModel, ConfigDict, ValidationError

from peftrec.errors import RecordError
from peftrec.files import write_atomically
from peftrec.paper_tables.declared import Table
from peftrec.results.record import RECORD_FILE, read_record

FOLDER = "tables"
NEVER_NEW = frozenset({"sweep.json"})
"""What a sweep writes whether or not it had anything to do."""


class Took(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    finished_at: str
    """ISO 8601 in UTC."""
    seconds: float
    status: int
    """0 where every step succeeded."""
    steps: list[list[str]]


@dataclass(frozen=True)
class State:
    """How far a table is."""

    num_runs: int
    """Runs of its trainings, of a tuning the final ones; 0 for a table that trains none of its own."""
    num_done: int
    took: Took | None

    def to_text(self) -> str:
        """Return it as a line."""
        runs = f"{self.num_done} of {self.num_runs} runs done" if self.num_runs else ""
        if self.took is None:
            return "; ".join(part for part in (runs, "not built yet") if part)
        minutes, seconds = divmod(round(self.took.seconds), 60)
        failed = "" if self.took.status == 0 else ", with failures"
        took = f"took {minutes} min {seconds:02d} s on {self.took.finished_at[:10]}{failed}"
        return "; ".join(part for part in (runs, took) if part)


def state_of(table: Table, runs_dir: Path) -> State:
    """Return how far a table is, from what lies below `runs_dir`."""
    steps = table.filled({"root": "DIR"})
    num_runs = sum(num_jobs(step[1:]) for step in steps if step[0] in ("train", "tune"))
    folders = {word.partition("=")[2] for step in steps for word in step if word.startswith("name=")}
    questions = {question for folder in folders for question in _finished(runs_dir / folder)}
    return State(num_runs, min(num_runs, len(questions)), read_took(table, runs_dir))


def num_jobs(words: Sequence[str]) -> int:
    """Return how many jobs a sweep's words make."""
    parser = OverridesParser.create()
    parsed = parser.parse_overrides([word for word in words if not word.startswith("-")])
    return math.prod(len(list(each.sweep_string_iterator())) for each in parsed if each.is_sweep_override())


def _finished(folder: Path) -> set[str]:
    """Return the questions that runs below a folder have answered."""
    records = [read_record(file) for file in sorted(folder.glob(f"*/{RECORD_FILE}"))]
    return {record.question_hash for record in records if record.status == "success"}


def results_below(folders: Sequence[Path]) -> dict[Path, int]:
    """Return the files of results below folders, each with when it was written: what grows where there was work."""
    files = (file for folder in folders for file in folder.rglob("*.json") if file.name not in NEVER_NEW)
    return {file: file.stat().st_mtime_ns for file in files}


def took_file(table: Table, runs_dir: Path) -> Path:
    """Return where the time of a table stands."""
    return runs_dir / FOLDER / f"{table.name}_{table.scale}.json"


def read_took(table: Table, runs_dir: Path) -> Took | None:
    """Return how long it took; None where it was never built. Raises RecordError for a damaged file."""
    file = took_file(table, runs_dir)
    if not file.exists():
        return None
    try:
        return Took.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise RecordError(f"{file}: {error.errors()[0]['msg']}; delete the file") from error


def write_took(took: Took, table: Table, runs_dir: Path) -> None:
    """Write how long it took, whole or not at all."""
    write_atomically(took_file(table, runs_dir), json.dumps(took.model_dump(), indent=2).encode())
