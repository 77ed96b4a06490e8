"""The best items for many users at once, each user's answer being the same to the last bit whoever else is asked about.

A product of matrices adds in an order that depends on their shapes, so scores of a block and of one user alone differ
in their last bits, and with them the order of items that nearly tie. Here the product only finds who may be among the
best; these few are scored again one by one.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from peftrec.profiles.base import NO_ITEM

UNIT_ROUNDOFF = 2.0**-24
"""Of float32. A sum of n products is at most n of these times the product of the two norms away from the exact one
(Higham, Accuracy and Stability of Numerical Algorithms, 3.5)."""
SLACK = 8
"""So many times that bound: two sums are compared, and their difference and the final score are rounded."""
NUMBERS_AT_ONCE = 2**21
"""Of vectors that are multiplied at a time; it decides no score."""


@dataclass(frozen=True, kw_only=True)
class BestItems:
    """The best first, equal scores in the order of the rows; NO_ITEM with the score -inf where fewer are left."""

    items: Int[np.ndarray, "user place"]
    scores: Float[np.ndarray, "user place"]
    """Dot products, summed in float64 and rounded to float32."""


def best_items(
    states: Float[np.ndarray, "user dim"],
    embeddings: Float[np.ndarray, "item dim"],
    number: int,
    *,
    excluded: tuple[Int[np.ndarray, " excluded"], Int[np.ndarray, " excluded"]],
    largest_norm: float,
) -> BestItems:
    """Return the rows of `embeddings` with the largest dot products; `excluded` are pairs of a user and an item,
    `largest_norm` is that of the embeddings."""
    number = min(number, len(embeddings))
    products = states @ embeddings.T
    products[excluded] = -np.inf
    slack = SLACK * states.shape[1] * UNIT_ROUNDOFF * largest_norm * np.linalg.norm(states, axis=1)
    users, items = np.nonzero(_may_be_best(products, number, slack))
    scores = _scores(states, embeddings, users, items)
    order = np.lexsort((items, -scores, users))
    counts = np.bincount(users, minlength=len(states))
    places = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_kept = places < number
    kept, at = order[is_kept], (users[is_kept], places[is_kept])  # `users` is sorted, so ordering leaves it as it is
    found = BestItems(
        items=np.full((len(states), number), NO_ITEM, dtype=np.int64),
        scores=np.full((len(states), number), -np.inf, dtype=np.float32),
    )
    found.items[at], found.scores[at] = items[kept], scores[kept]
    return found


def _may_be_best(
    products: Float[np.ndarray, "user item"], number: int, slack: Float[np.ndarray, " user"]
) -> Bool[np.ndarray, "user item"]:
    """Say which pairs no rounding keeps from being among the best."""
    last = np.partition(products, -number, axis=1)[:, -number]
    return (products >= (last - slack)[:, None]) & (products > -np.inf)


def _scores(
    states: Float[np.ndarray, "user dim"],
    embeddings: Float[np.ndarray, "item dim"],
    users: Int[np.ndarray, " pair"],
    items: Int[np.ndarray, " pair"],
) -> Float[np.ndarray, " pair"]:
    """Return the dot product of each pair, summed along a row of its own."""
    scores = np.empty(len(users), dtype=np.float32)
    pairs_at_once = max(1, NUMBERS_AT_ONCE // states.shape[1])
    for start in range(0, len(users), pairs_at_once):
        part = slice(start, start + pairs_at_once)
        scores[part] = (states[users[part]].astype(np.float64) * embeddings[items[part]]).sum(axis=1)
    return scores
