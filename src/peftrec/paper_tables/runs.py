"""The finished runs that a table's later steps read."""

import re
from pathlib import Path

from peftrec.errors import RecordError
from peftrec.results.runs import find_runs

_RUN = re.compile(r"\{run:([\w-]+)\}")


def run_folder(word: str, folder: Path) -> str:
    """Return a word with the folder of the newest finished run of a strategy in place of `{run:STRATEGY}`.

    Raises RecordError where the folder holds none.
    """
    found = _RUN.search(word)
    if found is None:
        return word
    finished = [run for run in find_runs(folder) if run.record.strategy == found[1] and run.is_success]
    if not finished:
        raise RecordError(f"{folder}: no finished run of {found[1]}, which the next step reads; see what failed above")
    newest = max(finished, key=lambda run: run.record.latest.started_at)
    return word.replace(found[0], str(newest.folder))
