"""PinnerSage's offline retrieval (arXiv:2007.03634, section 6.2): walk forward day by day, predict the next actions.

On each day with actions, a user's queries are made from what came before that day. Each of e queries brings its
floor(budget / e) nearest neighbours; together they are the candidates. Relevance is the share of the day's items whose
cosine with a candidate reaches a threshold, recall the share that are candidates. A user's share is over all of the
user's predicted actions; figures are means over users, so that who acts daily for years counts once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass as plain_dataclass

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import DataError
from peftrec.profiles.base import NO_ITEM, History, Interests, Profile
from peftrec.profiles.neighbours import NeighbourIndex


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Protocol:
    """What the evaluation asks; the defaults are the paper's where it says."""

    budget: int = Field(default=400, ge=1)
    """Candidates a day at most, for all queries together."""

    threshold: float = Field(default=0.8, gt=-1, lt=1)
    """Cosine from which an item counts as relevant."""

    past_days: float | None = Field(default=None, gt=0)
    """How far a history goes back; the paper's 90 days leave too little where users come once in months, so null
    takes all."""

    first_day: float | None = None
    """Predict from this day on, a timestamp divided by the length of a day. Null predicts all; of a run whose data is
    split by time, those of the test period, because validation chose the epoch that made the embeddings."""

    excludes_seen: bool = True
    """Whether the history's items are no candidates: right where, as with ratings, nothing is done twice."""

    num_draws: int = Field(default=5, ge=1)
    """Evaluations of a profile that draws which interests it serves, each with a seed of its own."""


@plain_dataclass(frozen=True, kw_only=True)
class Prediction:
    """One day of one user."""

    history: History
    targets: Int[np.ndarray, " target"]
    day: float
    """When it begins."""


@plain_dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one profile reached."""

    relevance: Float[np.ndarray, "user draw"]
    recall: Float[np.ndarray, "user draw"]
    num_users: int
    num_users_left_out: int
    """Without a day that follows another one."""
    num_days: int
    num_targets: int
    mean_interests: float
    """Found a day, before any choice."""
    mean_queries: float
    mean_candidates: float
    """Distinct ones a day: queries may bring the same items."""


def predictions_of(history: History, protocol: Protocol) -> Iterator[Prediction]:
    """Yield the days of a user that follow another one. Raises DataError where the times are not known."""
    days = np.floor(history.known_days())
    starts = np.flatnonzero(np.diff(days, prepend=-np.inf) > 0)
    for start, end in zip(starts, [*starts[1:], len(history)], strict=True):
        day = float(days[start])
        if protocol.first_day is not None and day < protocol.first_day:
            continue
        past = history[:start]
        if protocol.past_days is not None:
            past = past.between(day - protocol.past_days, day)
        if len(past):
            yield Prediction(history=past, targets=history.items[start:end], day=day)


@plain_dataclass(kw_only=True)
class _Tally:
    """Sums over the days of all users."""

    hits: dict[str, list[np.ndarray]]
    num_days: int = 0
    num_targets: int = 0
    num_interests: int = 0
    num_queries: float = 0.0
    num_candidates: float = 0.0


def evaluate(
    profile: Profile,
    histories: Sequence[History],
    catalogue: Float[np.ndarray, "item dim"],
    index: NeighbourIndex,
    protocol: Protocol,
    *,
    seed: int,
) -> Outcome:
    """Walk every user forward. `catalogue` has rows of length one and `index` searches them.

    Raises DataError where no user has a day to predict.
    """
    num_draws = protocol.num_draws if profile.is_random else 1
    generators = [np.random.default_rng([seed, draw]) for draw in range(num_draws)]
    tally = _Tally(hits={"relevance": [], "recall": []})
    for history in histories:
        relevant, recalled, num_targets = np.zeros(num_draws), np.zeros(num_draws), 0
        for prediction in predictions_of(history, protocol):
            interests = profile.interests(prediction.history, catalogue, now=prediction.day)
            tally.num_interests += len(interests)
            tally.num_days += 1
            num_targets += len(prediction.targets)
            for draw, generator in enumerate(generators):
                served = profile.serve(interests, generator)
                candidates = candidates_of(served, prediction.history, index, protocol)
                relevant[draw] += num_relevant(prediction.targets, candidates, catalogue, protocol.threshold)
                recalled[draw] += np.isin(prediction.targets, candidates).sum()
                tally.num_queries += len(served) / num_draws
                tally.num_candidates += len(candidates) / num_draws
        if num_targets:
            tally.hits["relevance"].append(relevant / num_targets)
            tally.hits["recall"].append(recalled / num_targets)
            tally.num_targets += num_targets
    return _outcome(tally, len(histories))


def candidates_of(
    served: Interests, history: History, index: NeighbourIndex, protocol: Protocol
) -> Int[np.ndarray, " candidate"]:
    """Return the distinct candidates that all queries bring, ascending."""
    excluded = history.items if protocol.excludes_seen else history.items[:0]
    # With more queries than the budget, each still brings one neighbour.
    found = index.search(served.vectors, max(1, protocol.budget // len(served)), excluded=excluded)
    candidates = np.unique(found.items)
    return candidates[candidates != NO_ITEM]


def num_relevant(
    targets: Int[np.ndarray, " target"],
    candidates: Int[np.ndarray, " candidate"],
    catalogue: Float[np.ndarray, "item dim"],
    threshold: float,
) -> int:
    """Return how many targets a candidate resembles."""
    if not len(candidates):
        return 0
    return int(((catalogue[targets] @ catalogue[candidates].T).max(axis=1) >= threshold).sum())


def _outcome(tally: _Tally, num_histories: int) -> Outcome:
    num_users = len(tally.hits["recall"])
    if not num_users:
        raise DataError(
            "no user has actions on two days, so that there is nothing to predict: give a longer log, earlier days "
            "(first_day) or longer histories (past_days)"
        )
    return Outcome(
        relevance=np.stack(tally.hits["relevance"]),
        recall=np.stack(tally.hits["recall"]),
        num_users=num_users,
        num_users_left_out=num_histories - num_users,
        num_days=tally.num_days,
        num_targets=tally.num_targets,
        mean_interests=tally.num_interests / tally.num_days,
        mean_queries=tally.num_queries / tally.num_days,
        mean_candidates=tally.num_candidates / tally.num_days,
    )
