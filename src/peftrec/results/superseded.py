"""Runs that asked the same, by different code: which one speaks, and which are superseded."""

from collections import defaultdict
from collections.abc import Sequence

from peftrec.results.runs import Run


def newest(runs: Sequence[Run]) -> Run:
    """Return the run, of some that asked the same, whose figures count: the last one that ended well, or the last."""
    finished = [run for run in runs if run.is_success]
    return max(finished or runs, key=lambda run: run.record.latest.started_at)


def without_superseded(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Return the runs whose figures count, and those that a run of later code superseded, both in their order.

    A copy of a run's folder is no later code: it counts, and whoever compares says that there are two.
    """
    by_question: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        by_question[run.record.experiment, run.record.question_hash].append(run)
    current = {question: newest(group).record.run_id for question, group in by_question.items()}
    counting: list[Run] = []
    superseded: list[Run] = []
    for run in runs:
        counts = run.record.run_id == current[run.record.experiment, run.record.question_hash]
        (counting if counts else superseded).append(run)
    return counting, superseded
