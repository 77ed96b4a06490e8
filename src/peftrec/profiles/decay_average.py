"""One vector a user: the average of the history's embeddings, older items counting less."""

import numpy as np
from jaxtyping import Float
from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.profiles.base import NO_ITEM, History, Interests, Profile, recency, unit_rows


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DecayAverage(Profile):
    """sum_i w_i P_i / |sum_i w_i P_i| with w_i = exp(-decay (now - day_i))."""

    decay: float = Field(default=0.01, ge=0)
    """A day; 0 is the plain average."""

    def interests(self, history: History, catalogue: Float[np.ndarray, "item dim"], *, now: float) -> Interests:
        # Only ratios count, and weights from the last step on cannot all vanish.
        latest = now if history.days is None else float(history.days[-1])
        weights = recency(history, now=latest, decay=self.decay)
        average = weights.astype(np.float32) @ catalogue[history.items]
        return Interests(
            vectors=unit_rows(average[None]),
            importance=recency(history, now=now, decay=self.decay).sum(keepdims=True),
            items=np.array([NO_ITEM]),
            sizes=np.array([len(history)]),
        )
