"""How a service keeps profiles up to date: a batch over all users once a day, and what they did since, at once.

Both are functions of histories and of the day (PinnerSage, section 5.2); when they are called is the service's matter.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from peftrec.profiles.base import History, Interests
from peftrec.profiles.clustered import ClusteredProfile
from peftrec.profiles.medoid_cache import MedoidCache

BATCH_DAYS = 90.0
"""How far a daily batch looks back in the paper."""

RECENT_STEPS = 20
"""Latest actions since the batch that the online update clusters, in the paper."""


def infer_batch(
    histories: Iterable[tuple[str, History]],
    profile: ClusteredProfile,
    catalogue: Float[np.ndarray, "item dim"],
    item_ids: Sequence[str],
    *,
    day: float,
    past_days: float = BATCH_DAYS,
) -> MedoidCache:
    """Find the interests of all users at `day`, from what they did in the days before it; who did nothing has none.

    `past_days=inf` looks at whole histories. Raises DataError where the profile's interests are not medoids or the
    times are not known.
    """
    recent = ((user, history.between(day - past_days, day)) for user, history in histories)
    found = ((user, profile.interests(part, catalogue, now=day)) for user, part in recent if len(part))
    return MedoidCache.of(found, item_ids, day=day, decay=profile.decay)


def current_interests(
    cache: MedoidCache,
    user: str,
    since_batch: History,
    profile: ClusteredProfile,
    catalogue: Float[np.ndarray, "item dim"],
    item_rows: Mapping[str, int],
    *,
    now: float,
) -> Interests | None:
    """Return a user's interests now: the batch's, faded to now, and those of the latest steps since; None without any.

    Importance is a sum of exp(-decay (now - day)), so that fading the batch's by exp(-decay (now - batch)) gives what
    a batch would give now. An item that is a medoid of both is one interest, whose importance is the sum.
    """
    if cache.decay != profile.decay:
        raise ValueError(f"the cache fades by {cache.decay} a day and the profile by {profile.decay}")
    parts = []
    kept = cache.interests(user, catalogue, item_rows)
    if kept is not None:
        parts.append((kept, float(np.exp(-cache.decay * (now - cache.day)))))
    recent = since_batch.between(cache.day, np.inf)[-RECENT_STEPS:]
    if len(recent):
        parts.append((profile.interests(recent, catalogue, now=now), 1.0))
    return _merged(parts) if parts else None


def _merged(parts: Sequence[tuple[Interests, float]]) -> Interests:
    items = np.concatenate([interests.items for interests, _ in parts])
    distinct, first, place = np.unique(items, return_index=True, return_inverse=True)
    importance = np.concatenate([interests.importance * factor for interests, factor in parts])
    sizes = np.concatenate([interests.sizes for interests, _ in parts])
    merged = Interests(
        vectors=np.concatenate([interests.vectors for interests, _ in parts])[first],
        importance=np.bincount(place, weights=importance),
        items=distinct,
        sizes=np.bincount(place, weights=sizes).astype(np.int64),
    )
    return merged.of(np.argsort(first)).by_importance()
