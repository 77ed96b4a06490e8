"""From histories to their best items by the run's user encoder: the one place where scores for a service are made."""

import numpy as np
from jaxtyping import Int

from peftrec.data.interactions import Interactions
from peftrec.serving.best_items import BestItems, best_items
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.serving.user_states import user_states
from peftrec.training.run.restored_run import RestoredRun


def best_for_users(
    run: RestoredRun,
    catalogue: ServedCatalogue,
    histories: Interactions,
    rows: Int[np.ndarray, " user"],
    number: int,
    *,
    excluded: tuple[Int[np.ndarray, " excluded"], Int[np.ndarray, " excluded"]],
) -> BestItems:
    """Score every item as evaluation does, and return the best of each user; `rows` are those of `histories`, and
    `excluded` are pairs of a place among them and an item. Raises what `user_states` does."""
    states = user_states(run, catalogue, histories, rows)
    last = histories.items[histories.offsets[rows + 1] - 1]
    return best_items(
        catalogue.queries(states, last), catalogue.keys, number, excluded=excluded, largest_norm=catalogue.largest_norm
    )
