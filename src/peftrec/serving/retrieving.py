"""From a history to its best items: by the run's own user encoder, or by the interests of a profile."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from peftrec.data.interactions import Interactions
from peftrec.profiles.base import NO_ITEM, History, Interests, unit_rows
from peftrec.profiles.neighbours import NeighbourIndex
from peftrec.profiles.settings import ProfileSettings
from peftrec.serving.best_for_users import best_for_users
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.training.run.restored_run import RestoredRun


@dataclass(frozen=True, kw_only=True)
class Retrieved:
    """The best items, best first."""

    rows: list[int]
    scores: list[float]
    vectors: Float[np.ndarray, "item dim"]
    """All items as the scores were computed with: as the run trained them, or at length one for a profile."""
    interests: Interests | None = None
    """What was queried with, where a profile did it."""
    brought_by: list[int] | None = None
    """For each row the interest that brought it."""


def by_user_encoder(
    run: RestoredRun,
    catalogue: ServedCatalogue,
    histories: Interactions,
    user: int,
    k: int,
    *,
    excluded: Int[np.ndarray, " excluded"],
) -> Retrieved:
    """Answer one user, a row of `histories`. Raises what `best_for_users` does."""
    pairs = (np.zeros(len(excluded), dtype=np.int64), excluded)
    found = best_for_users(run, catalogue, histories, np.array([user]), k, excluded=pairs)
    return Retrieved(rows=found.items[0].tolist(), scores=found.scores[0].tolist(), vectors=catalogue.embeddings)


def by_profile(
    settings: ProfileSettings,
    catalogue: ServedCatalogue,
    history: History,
    k: int,
    *,
    excluded: Int[np.ndarray, " excluded"],
) -> Retrieved:
    """Let the interests that the profile serves take turns, the most important first: each takes the nearest item that
    is still free, until there are k. (Merged by cosine, the densest interest would take the list.) Now is the last
    step's time."""
    vectors = unit_rows(catalogue.embeddings)
    now = 0.0 if history.days is None else float(history.days[-1])
    interests = settings.profile.interests(history, vectors, now=now)
    served = settings.profile.serve(interests, np.random.default_rng(settings.seed))
    index = settings.neighbours.index(vectors)
    rows, scores, brought_by = take_turns(index, served, k, excluded=excluded)
    return Retrieved(rows=rows, scores=scores, vectors=vectors, interests=served, brought_by=brought_by)


def take_turns(
    index: NeighbourIndex, served: Interests, k: int, *, excluded: Int[np.ndarray, " excluded"]
) -> tuple[list[int], list[float], list[int]]:
    """Return rows, cosines, and the interest that took each."""
    # No interest needs more than k neighbours, whatever the others have taken.
    found = index.search(served.vectors, k, excluded=excluded)
    queues = [
        [(int(row), float(cosine)) for row, cosine in zip(rows, scores, strict=True) if row != NO_ITEM]
        for rows, scores in zip(found.items, found.scores, strict=True)
    ]
    taken: dict[int, tuple[float, int]] = {}
    while len(taken) < k and any(queues):
        for interest, queue in enumerate(queues):
            _drop_taken(queue, taken)
            if queue and len(taken) < k:
                row, cosine = queue.pop(0)
                taken[row] = (cosine, interest)
    return list(taken), [cosine for cosine, _ in taken.values()], [interest for _, interest in taken.values()]


def _drop_taken(queue: list[tuple[int, float]], taken: dict[int, tuple[float, int]]) -> None:
    while queue and queue[0][0] in taken:
        queue.pop(0)


def reasons_for(
    vectors: Float[np.ndarray, "item dim"], row: int, history: Sequence[int], number: int
) -> list[tuple[int, float]]:
    """Return the items of a history whose dot products with an item are largest, each once."""
    distinct = np.array(list(dict.fromkeys(history)))
    products = vectors[distinct] @ vectors[row]
    order = np.argsort(-products, kind="stable")[:number]
    return [(int(distinct[place]), float(products[place])) for place in order]
