"""From a history to its best items: by the run's own user encoder, or by the interests of a profile."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from peftrec.data.interactions import Interactions
from peftrec.data.loading import padded_sequences
from peftrec.errors import CheckpointError, SettingsError
from peftrec.profiles.base import NO_ITEM, History, Interests, unit_rows
from peftrec.profiles.neighbours import ExactIndex, NeighbourIndex
from peftrec.profiles.settings import ProfileSettings
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
    """Score every item by its dot product with the user encoder's last state, as evaluation does; `user` is a
    row of `histories`. Raises SettingsError where the encoder reads times and they have none."""
    reads_times = run.settings.user_encoder.reads_times
    if reads_times and histories.times is None:
        raise SettingsError("items: the run's user encoder reads times, which a list of items lacks; name a user")
    read = padded_sequences(histories, np.array([user]), run.split.sequence_length, reads_times=reads_times)
    distinct, sequences = torch.unique(read.items, return_inverse=True)
    recommender = run.module.recommender
    dtype = next(recommender.user_encoder.parameters()).dtype
    embeddings = torch.from_numpy(catalogue.embeddings)[distinct].to(run.device, dtype)
    read = replace(read, items=sequences).to(run.device)
    with torch.inference_mode():
        states = recommender.last_states(embeddings, read.items, read.mask, read.times)
    if not bool(torch.isfinite(states).all()):
        raise CheckpointError("the user's state is not finite, so nothing can be ranked by it; train the run again")
    found = ExactIndex(catalogue.embeddings).search(states.float().cpu().numpy(), k, excluded=excluded)
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
