"""Item-based nearest neighbours (Sarwar et al., WWW 2001; Deshpande & Karypis, TOIS 2004), on sparse matrices alone.

sim(i, j) = |users of both i and j| / (sqrt(|users of i| |users of j|) + shrinkage)       cosine of binary columns
sim(i, j) = |users of both i and j| / (|users of i or j| + shrinkage)                      Jaccard
score(u, i) = sum over the items j of u's history of sim(i, j), where i is among the nearest neighbours of j

Building costs the sum over users of the squared number of their items, and is done for blocks of items, so that no more
than a block's similarities are held besides the neighbours kept.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

NUM_NEIGHBOURS = 20
"""Neighbours kept of each item where nobody tunes them; few, because it bounds the memory: those of a million items are
240 MB at most."""
Similarity = Literal["cosine", "jaccard"]
_MOST_SIMILARITIES = 2**20
"""Entries that a block of the similarity matrix may have, unless one item has more: about 50 MiB with what is made of
them."""

UserItemMatrix: TypeAlias = Any
"""scipy.sparse.csr_array, which has no types: a row a user, a column an item."""


@dataclass(frozen=True, kw_only=True)
class ItemKnn:
    """What of the method may be tuned; the defaults stand in every record."""

    neighbours: int = NUM_NEIGHBOURS
    similarity: Similarity = "cosine"
    shrinkage: float = 0.0
    """Added to the denominator: lowers similarities that few users speak for."""


UNTUNED = ItemKnn()


def user_item_matrix(
    users: npt.NDArray[np.integer], items: npt.NDArray[np.integer], *, num_users: int, num_items: int
) -> UserItemMatrix:
    """Return a 1 for each pair of user and item, however often it occurs."""
    ones = np.ones(len(items), dtype=np.float64)
    matrix = sparse.csr_array((ones, (users, items)), shape=(num_users, num_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def neighbours_of(training: UserItemMatrix, method: ItemKnn = UNTUNED) -> UserItemMatrix:
    """Return, a row an item, its similarities to its most similar items; of equals the first ones are kept."""
    users_of_item = np.bincount(training.indices, minlength=training.shape[1])
    by_item = training.T.tocsr()
    kept = []
    for start, end in _blocks(training, by_item):
        together = by_item[start:end] @ training
        items = start + np.repeat(np.arange(end - start), np.diff(together.indptr))
        is_other = together.indices != items
        own, theirs = users_of_item[items], users_of_item[together.indices]
        sizes = np.sqrt(own * theirs) if method.similarity == "cosine" else own + theirs - together.data
        together.data /= sizes + method.shrinkage
        kept.append(_nearest(_entries(together, is_other), method.neighbours))
    return sparse.vstack(kept, format="csr")


def score_users(
    neighbours: UserItemMatrix, items: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return a row of scores of all items for each of the flat histories, of which repeats count once."""
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    histories = user_item_matrix(owners, items, num_users=len(offsets) - 1, num_items=neighbours.shape[0])
    # Rounded once, after summation: equal sums that were added in another order are then equal.
    return (histories @ neighbours).astype(np.float32).toarray()


def _blocks(training: UserItemMatrix, by_item: UserItemMatrix) -> list[tuple[int, int]]:
    """Cut the items into runs whose similarities are few enough to be held at once."""
    lengths = np.diff(training.indptr)
    partners = np.add.reduceat(np.append(lengths[by_item.indices], 0), by_item.indptr[:-1])
    most = np.where(np.diff(by_item.indptr) > 0, np.minimum(partners, training.shape[1]), 0)
    block_of_item = np.cumsum(most) // _MOST_SIMILARITIES
    starts = np.flatnonzero(np.diff(block_of_item, prepend=-1))
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(most)], strict=True))


def _nearest(similarities: UserItemMatrix, num_neighbours: int) -> UserItemMatrix:
    similarities.sort_indices()
    is_kept = np.ones(similarities.nnz, dtype=np.bool_)
    for row in np.flatnonzero(np.diff(similarities.indptr) > num_neighbours).tolist():
        place = slice(similarities.indptr[row], similarities.indptr[row + 1])
        values = similarities.data[place]
        least = np.partition(values, -num_neighbours)[-num_neighbours]
        is_nearer = values > least
        equals = np.flatnonzero(values == least)
        is_nearer[equals[: num_neighbours - np.count_nonzero(is_nearer)]] = True
        is_kept[place] = is_nearer
    return _entries(similarities, is_kept)


def _entries(matrix: UserItemMatrix, is_kept: npt.NDArray[np.bool_]) -> UserItemMatrix:
    offsets = np.concatenate([[0], np.cumsum(is_kept)])[matrix.indptr]
    return sparse.csr_array((matrix.data[is_kept], matrix.indices[is_kept], offsets), shape=matrix.shape)
