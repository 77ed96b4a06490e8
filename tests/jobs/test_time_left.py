"""How much time is left of a sweep: nothing before a job trained, and then what those that did took."""

import pytest

from peftrec.jobs.isolation import Job, JobOutcome
from peftrec.jobs.time_left import duration, progress_line, seconds_left

JOBS = [Job(label=name, overrides=[], config={"strategy_name": name}) for name in ("id", "id", "full", "full", "full")]


def ended(seconds: float, **changes: object) -> JobOutcome:
    return JobOutcome.model_validate(
        {"label": "x", "overrides": [], "status": "success", "seconds": seconds, **changes}
    )


def test_nothing_is_said_before_a_job_has_trained() -> None:
    assert seconds_left(JOBS, {}, slots=1) is None
    silent = {0: ended(1, was_finished=True), 1: ended(9, status="failed", error="no")}
    assert progress_line(JOBS, silent, slots=1) is None


def test_a_job_takes_as_long_as_those_of_its_strategy_else_as_all() -> None:
    assert seconds_left(JOBS, {0: ended(10)}, slots=1) == 4 * 10
    both = {0: ended(10), 2: ended(100)}
    assert seconds_left(JOBS, both, slots=1) == 10 + 2 * 100
    assert seconds_left(JOBS, both, slots=3) == 70
    assert seconds_left(JOBS, both, slots=8) == 70, "no more slots than jobs"


def test_what_was_finished_before_has_ended_and_says_nothing_of_time() -> None:
    known = {0: ended(10), 1: ended(1, was_finished=True), 2: ended(100)}
    assert seconds_left(JOBS, known, slots=1) == 200
    assert progress_line(JOBS, known, slots=1) == "3 of 5 jobs have ended; about 3 min left, by 2 that trained"


def test_after_the_last_nothing_is_left_to_say() -> None:
    assert progress_line(JOBS, {place: ended(10) for place in range(5)}, slots=1) is None


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (90, "90 s"), (900, "15 min"), (9000, "2.5 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
