"""Random unit rows and histories for the tests of profiles."""

import numpy as np

from peftrec.profiles.base import History, unit_rows

NUM_ITEMS, DIM = 60, 8


def small_catalogue(num_items: int = NUM_ITEMS, *, seed: int = 0) -> np.ndarray:
    """Return unit rows that lie in five bundles, so that there is something to cluster."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(5, DIM))
    return unit_rows(centres[np.arange(num_items) % 5] + 0.4 * random.normal(size=(num_items, DIM)))


def small_history(length: int, *, seed: int = 0, num_items: int = NUM_ITEMS) -> History:
    """Return random items on ascending days."""
    random = np.random.default_rng(seed)
    return History(
        items=random.integers(0, num_items, length),
        days=np.sort(random.uniform(0, 100, length)),
    )
