"""Runs by their names without the hash: `runs/first/lora`."""

import re
from glob import escape
from pathlib import Path
from shlex import quote

from peftrec.errors import SHOWN, RecordError, counted, nearest_name
from peftrec.results.labels import label_parts
from peftrec.results.record import RECORD_FILE, read_record
from peftrec.results.runs import Run
from peftrec.results.superseded import without_superseded

_HASH = re.compile(r"[0-9a-f]{12}")
"""What ends a run's name."""
_WITH_HASH = re.compile(rf"(.+)-{_HASH.pattern}")


def named_run(name: Path) -> Path:
    """Return the folder of a run from its path, or from that without the hash, where one run alone is called so; of
    those that answered one question by different code, the one that a report would take.

    Raises RecordError where several are called so, where it is the folder of several, and where only runs of other
    names lie there; a path beside which there are no runs is returned as it is.
    """
    if (name / RECORD_FILE).exists():
        return name
    found = sorted(place.parent for place in name.parent.glob(f"{escape(name.name)}-*/{RECORD_FILE}"))
    alike = [folder for folder in found if _HASH.fullmatch(folder.name.removeprefix(f"{name.name}-"))]
    if not alike:
        _refuse_experiment(name)
        _refuse_other_name(name)
    if len(alike) <= 1:
        return alike[0] if alike else name
    counting, _ = without_superseded([Run(read_record(folder), folder) for folder in alike])
    if len(counting) == 1:
        return counting[0].folder
    told_apart = label_parts(counting)
    listed = "\n".join(
        f"  run={run.folder}   {', '.join([f'seed={run.record.seed}', *told_apart[run.name], run.record.status])}"
        for run in counting
    )
    raise RecordError(f"{name}: {len(counting)} runs are called so; give one of\n{listed}")


def _refuse_experiment(folder: Path) -> None:
    runs = sorted(place.parent for place in folder.glob(f"*/{RECORD_FILE}"))
    if runs:
        listed = "\n".join(f"  {quote(f'run={run}')}" for run in runs[:SHOWN])
        others = f"\n  and {len(runs) - SHOWN:,} more" if len(runs) > SHOWN else ""
        raise RecordError(f"{folder}: a folder of {counted(len(runs), 'run')}; give one of them\n{listed}{others}")


def _refuse_other_name(name: Path) -> None:
    beside = [_WITH_HASH.fullmatch(place.parent.name) for place in name.parent.glob(f"*/{RECORD_FILE}")]
    if known := sorted({found[1] for found in beside if found}):
        whole = _WITH_HASH.fullmatch(name.name)
        near = nearest_name(whole[1] if whole else name.name, known)
        hint = f"those there are {', '.join(known)}"
        if near is not None:
            hint = f"did you mean {quote(f'run={name.parent / near}')}?"
        raise RecordError(f"{name}: no such run; {hint}")
