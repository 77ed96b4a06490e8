"""Recommendations from a finished run, and what speaks for each."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from peftrec.data.interactions import Interactions
from peftrec.errors import DataError
from peftrec.profiles.base import NO_ITEM, History, Interests
from peftrec.profiles.settings import ProfileSettings
from peftrec.serving.catalogue import ServedCatalogue, rows_of
from peftrec.serving.loaded_run import LoadedRun
from peftrec.serving.recommend_request import RecommendRequest
from peftrec.serving.recommendations import Interest, Reason, Recommendation, Recommendations
from peftrec.serving.retrieving import Retrieved, by_profile, by_user_encoder, reasons_for

NUM_REASONS = 3


def recommend(
    request: RecommendRequest,
    settings: ProfileSettings | None,
    *,
    loaded: LoadedRun | None = None,
    group: int | None = None,
) -> Recommendations:
    """Answer a request: by the run's user encoder, or by a profile's interests where there are settings of one.
    `loaded` is what answers in place of the run itself, as one with the weights of the user's `group`.

    Raises DataError for an unknown user or item, faulty new items, or a list longer than what is left; and what
    restoring a run raises.
    """
    loaded = loaded or LoadedRun(directory=request.run, overrides=request.places)
    run = loaded.restored
    histories, row, history = _asked(loaded, request, settings)
    new_items = loaded.read_candidates(request.candidates)
    excluded = history.items[:0] if request.keeps_seen else np.unique(history.items)
    check_num_left(request.k, len(run.split.items) + len(new_items or ()) - len(excluded))
    chosen = loaded.chosen_weight(request.content_neighbours)
    catalogue = loaded.with_candidates(new_items, weight=0.0 if chosen is None else chosen.weight)
    if settings is None:
        found = by_user_encoder(run, catalogue, histories, row, request.k, excluded=excluded)
    else:
        found = by_profile(settings, catalogue, history, request.k, excluded=excluded)
    return Recommendations(
        run=str(run.directory),
        user=request.user,
        group=group,
        num_steps=len(history),
        content_neighbours=chosen,
        interests=None if found.interests is None else _interests(catalogue, found.interests),
        recommendations=_described(catalogue, history.items, found),
    )


def _asked(
    loaded: LoadedRun, request: RecommendRequest, settings: ProfileSettings | None
) -> tuple[Interactions, int, History]:
    """Return the histories and the row among them that the request is about, and the same as a profile reads it."""
    if request.user is not None:
        users = loaded.histories
        if settings is not None:
            users = replace(users, day_length=settings.day_length)
        row = users.row_of(request.user)
        return users.interactions, row, users.of_row(row)
    rows = np.array(rows_of(request.items, loaded.restored.split.items.ids), dtype=np.int64)
    # Items without times are taken to be of one moment, in which nothing fades.
    return Interactions.from_lists([""], [rows.astype(np.int32)]), 0, History(items=rows, days=np.zeros(len(rows)))


def check_num_left(k: int, num_left: int) -> None:
    """Raise DataError where fewer than `k` items are left to recommend."""
    if k > num_left:
        raise DataError(f"k={k}: only {num_left:,} items are left to recommend; lower k, or set seen=true")


def _described(
    catalogue: ServedCatalogue, history: Int[np.ndarray, " step"], found: Retrieved
) -> tuple[Recommendation, ...]:
    return tuple(
        Recommendation(
            item=catalogue.ids[row],
            title=catalogue.title(row),
            score=score,
            is_new=row >= catalogue.num_candidates,
            interest=None if found.brought_by is None else 1 + found.brought_by[place],
            reasons=tuple(
                Reason(item=catalogue.ids[reason], title=catalogue.title(reason), product=product)
                for reason, product in reasons_for(found.vectors, row, history.tolist(), NUM_REASONS)
            ),
        )
        for place, (row, score) in enumerate(zip(found.rows, found.scores, strict=True))
    )


def _interests(catalogue: ServedCatalogue, served: Interests) -> tuple[Interest, ...]:
    return tuple(
        Interest(
            item=None if row == NO_ITEM else catalogue.ids[row],
            title=None if row == NO_ITEM else catalogue.title(row),
            importance=importance,
            size=size,
        )
        for row, importance, size in zip(
            served.items.tolist(), served.importance.tolist(), served.sizes.tolist(), strict=True
        )
    )
