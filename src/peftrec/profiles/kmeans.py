"""k-means in place of Ward's hierarchy: the same number of interests for every user."""

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.profiles.clustered import ClusteredProfile
from peftrec.profiles.optional import optional_module


@dataclass(frozen=True, kw_only=True, config=STRICT)
class KMeans(ClusteredProfile):
    """PinnerSage's baseline; see the fields of ClusteredProfile for how the interests are served."""

    num_clusters: int = Field(default=5, ge=1)
    """The paper's 5; a history with fewer distinct items has as many clusters."""

    num_starts: int = Field(default=3, ge=1)
    """Runs from other starting points, of which the best is taken."""

    def clusters(self, embeddings: Float[np.ndarray, "step dim"]) -> Int[np.ndarray, " step"]:
        cluster = optional_module("sklearn.cluster", key="profile=kmeans")
        distinct, copies = np.unique(embeddings, axis=0, return_inverse=True)
        if len(distinct) <= self.num_clusters:
            return copies.reshape(-1)
        # A fixed seed: what a history's clusters are must not depend on who was clustered before.
        found = cluster.KMeans(self.num_clusters, n_init=self.num_starts, random_state=0).fit_predict(embeddings)
        return np.unique(found, return_inverse=True)[1].reshape(-1)
