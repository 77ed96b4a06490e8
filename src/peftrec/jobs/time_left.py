"""How much time is left of a sweep, from the jobs of it that trained; before there is one, nothing is said."""

from collections.abc import Mapping, Sequence
from statistics import mean

from peftrec.jobs.isolation import Job, JobOutcome

_MINUTE, _HOUR = 60, 3600


def seconds_left(jobs: Sequence[Job], ended: Mapping[int, JobOutcome], *, slots: int) -> float | None:
    """Return the seconds that the jobs which have not ended will take: each as long as those of its strategy took, or
    as all that trained did. None where none has trained; a run that was finished before says nothing."""
    trained = {place: outcome.seconds for place, outcome in ended.items() if _has_trained(outcome)}
    if not trained:
        return None
    of_strategy: dict[str, list[float]] = {}
    for place, seconds in trained.items():
        of_strategy.setdefault(_strategy(jobs[place]), []).append(seconds)
    rest = [job for place, job in enumerate(jobs) if place not in ended]
    return sum(mean(of_strategy.get(_strategy(job)) or trained.values()) for job in rest) / min(
        slots, max(1, len(rest))
    )


def progress_line(jobs: Sequence[Job], ended: Mapping[int, JobOutcome], *, slots: int) -> str | None:
    """Return what to say when a job has ended; None where nothing is left, or nothing known."""
    seconds = seconds_left(jobs, ended, slots=slots)
    if seconds is None or len(ended) == len(jobs):
        return None
    trained = sum(map(_has_trained, ended.values()))
    return f"{len(ended)} of {len(jobs)} jobs have ended; about {duration(seconds)} left, by {trained} that trained"


def duration(seconds: float) -> str:
    """Return a span of time with two digits that matter."""
    if seconds < 2 * _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < 2 * _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    return f"{seconds / _HOUR:.1f} h"


def _has_trained(outcome: JobOutcome) -> bool:
    return outcome.status == "success" and not outcome.was_finished


def _strategy(job: Job) -> str:
    return str(job.config.get("strategy_name"))
