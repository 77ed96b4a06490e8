"""What a sweep measures at its end."""

import sys
from pathlib import Path

from peftrec.errors import UserError, shortlist
from peftrec.jobs.sweep import Sweep
from peftrec.measuring.measuring import measure, tell
from peftrec.measuring.request import MeasureRequest, When
from peftrec.results.disturbed import of_training
from peftrec.results.labels import label_runs
from peftrec.results.runs import find_runs
from peftrec.results.superseded import without_superseded


def measure_sweep(sweep: Sweep, when: When) -> None:
    """Time the steps of a sweep's runs side by side: `always`, `never`, or where their own times were disturbed.

    What keeps it from that is said, and is no failure of the sweep: its runs and their own times are there.
    """
    if when == "never" or sweep.directory is None:
        return
    if sweep.submitted:  # this process waits on a node that submits, and has none of the devices
        if when == "always":
            tell("measure=always: the jobs ran on other machines; run peftrec measure RUNS_DIR on one like them")
        return
    if not any(outcome.status == "success" for outcome in sweep.outcomes):
        return
    for folder in sweep.experiments:
        _measure_folder(folder, when)


def _measure_folder(folder: Path, when: When) -> None:
    if when == "auto":
        disturbed = disturbed_rows(folder)
        if not disturbed:
            return
        tell(
            f"times of {shortlist(disturbed)} were disturbed, so steps are timed side by side (measure=never does not)"
        )
    try:
        measure(MeasureRequest(folder=folder))
    except UserError as error:
        print(f"not measured side by side: {error}", file=sys.stderr)


def disturbed_rows(folder: Path) -> list[str]:
    """Return the rows, of two or more, whose times of training other work or their own scatter disturbed."""
    runs = [run for run in without_superseded(find_runs(folder))[0] if run.is_success]
    rows = label_runs(runs)
    if len(rows) <= 1:
        return []
    return [name for name, group in rows.items() if any(of_training(run.record) for run in group)]
