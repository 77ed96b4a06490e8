"""PinnerSage (Pal et al., KDD 2020, arXiv:2007.03634): interests are clusters of a hierarchy that is cut at alpha.

Ward's recursion on squared Euclidean distances, for clusters of n_i, n_j and n_k items:

d(i u j, k) = ((n_i + n_k) d(i, k) + (n_j + n_k) d(j, k) - n_k d(i, j)) / (n_i + n_j + n_k)

and merges are taken from the largest distance down, as long as they are at most alpha and disjoint from those taken.
scipy follows the same recursion in O(m^2) and reports sqrt(d); heights never decrease towards the root, so that the
greedy cut is the flat clustering at sqrt(alpha).
"""

from math import sqrt
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.cluster.hierarchy import fcluster, linkage

from peftrec.config.strict import STRICT
from peftrec.profiles.clustered import ClusteredProfile


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PinnerSage(ClusteredProfile):
    """As many interests as the history has at one scale; see the fields of ClusteredProfile for how they are served."""

    alpha: float = Field(default=3.0, gt=0)
    """Largest squared distance of a merge, between embeddings of length one. The paper's value is not published; a
    good one gives its counts of interests: 3 to 5 for short histories, 75 to 100 for very long ones."""

    linkage: Literal["ward", "complete"] = "ward"
    """`complete` merges by the largest squared distance between two members, so that alpha bounds a cluster's
    diameter."""

    def clusters(self, embeddings: Float[np.ndarray, "step dim"]) -> Int[np.ndarray, " step"]:
        if len(embeddings) == 1:
            return np.zeros(1, dtype=np.int64)
        merges = linkage(embeddings.astype(np.float64), method=self.linkage)
        return fcluster(merges, t=sqrt(self.alpha), criterion="distance").astype(np.int64) - 1
