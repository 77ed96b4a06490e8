"""Whether a run's figures are those of its ranks: whatever a table reports of quality is computed again, run by run."""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peftrec.errors import RecordError
from peftrec.results.ranks import per_user, read_ranks
from peftrec.results.record import RANKS_FILE, RECORD_FILE, Evaluation
from peftrec.results.runs import Run

TOLERANCE = 1e-6
"""Far below what one user of any data set is worth; sums differ by their order."""
NUM_USERS = "num_users"
_HISTORY = re.compile(r"history_(\d+)_(?:to_(\d+)|or_more)")
_HALVES = ("head", "tail")
"""Of the users of a warm target; who is in which of them, ranks do not say."""

Mask = NDArray[np.bool_]


def without_contradictions(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Return the runs whose figures may be shown, and what is wrong with the others, a sentence each.

    A run without ranks, or with ranks that cannot be read, stays: nothing contradicts it, and whoever tests by users
    says that it was not included.
    """
    kept, wrong = [], []
    for run in runs:
        problem = _problem(run) if run.is_success else None
        if problem is None:
            kept.append(run)
        else:
            wrong.append(problem)
    return kept, wrong


def _problem(run: Run) -> str | None:
    try:
        ranks = read_ranks(run.folder)
    except RecordError:
        return None
    first = next(contradictions(run.evaluation, ranks), None)
    if first is None:
        return None
    return (
        f"{run.folder / RECORD_FILE}: {first} by {RANKS_FILE} beside it; one of the two files was changed or is of "
        "another run: remove the folder and give the command of the run again"
    )


def contradictions(evaluation: Evaluation, ranks: pd.DataFrame) -> Iterator[str]:
    """Yield each figure of the test set that is not what `ranks` give: `evaluation.test.hr@10 is 0.5, but 0.25`."""
    yield from differing("evaluation.test", evaluation.test, ranks)
    for name, segment in evaluation.test_segments.items():
        mask = _mask(name, ranks)
        if mask is not None:
            yield from differing(f"evaluation.test_segments.{name}", segment, ranks[mask])
    yield from _wrong_halves(evaluation.test_segments, ranks)


def differing(key: str, figures: Mapping[str, float], ranks: pd.DataFrame) -> Iterator[str]:
    """Yield each of the figures below `key` that is not what `ranks` give."""
    if not len(ranks):
        yield f"{key} has figures, but nobody belongs to it"
        return
    for name, recorded in figures.items():
        found = float(len(ranks)) if name == NUM_USERS else float(per_user(ranks, name).mean())
        if abs(recorded - found) > TOLERANCE:
            yield f"{key}.{name} is {recorded:.6g}, but {found:.6g}"


def _mask(name: str, ranks: pd.DataFrame) -> Mask | None:
    """Return who belongs to a segment; None where ranks do not tell."""
    is_cold: Mask = ranks["is_cold"].to_numpy(dtype=bool)
    if name in ("warm", "cold"):
        return is_cold if name == "cold" else ~is_cold
    if (found := _HISTORY.fullmatch(name)) is None:
        return None
    low, high = found.groups()
    lengths = ranks["history_length"].to_numpy(dtype=np.float64)
    mask: Mask = (lengths >= float(low)) & (lengths <= (np.inf if high is None else float(high)))
    return mask


def _wrong_halves(segments: Mapping[str, Mapping[str, float]], ranks: pd.DataFrame) -> Iterator[str]:
    """Yield what head and tail do not add up to: together they are the warm targets."""
    halves = [segments[name] for name in _HALVES if name in segments]
    warm = ranks[~ranks["is_cold"].to_numpy(dtype=bool)]
    if not halves or not len(warm):
        return
    sizes = [half[NUM_USERS] for half in halves]
    for name in halves[0]:
        values = [half[name] for half in halves]
        if name == NUM_USERS:
            recorded, found = sum(values), float(len(warm))
        else:
            recorded = sum(size * value for size, value in zip(sizes, values, strict=True)) / len(warm)
            found = float(per_user(warm, name).mean())
        if abs(recorded - found) > TOLERANCE:
            yield f"evaluation.test_segments: {name} of head and tail together is {recorded:.6g}, but {found:.6g}"
