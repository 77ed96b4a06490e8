"""The last item alone: the baseline that PinnerSage's lifts are taken over."""

import numpy as np
from jaxtyping import Float
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.profiles.base import History, Interests, Profile


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LastItem(Profile):
    """One query, the embedding of the item that the user met last."""

    def interests(self, history: History, catalogue: Float[np.ndarray, "item dim"], *, now: float) -> Interests:
        last = history.items[-1:]
        return Interests(vectors=catalogue[last], importance=np.ones(1), items=last, sizes=np.ones(1, dtype=np.int64))
