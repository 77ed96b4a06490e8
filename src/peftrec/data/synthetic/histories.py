"""Histories of synthetic users: what they like now, times how popular an item is, one item after the other.

    P(user takes item at step t) ~ popularity(item) * prod_a lift_a ** [item's a == what the user likes of a at t]

A product over attributes is why one modality is not enough: an item that looks right and reads wrong is worth little.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from peftrec.data.interactions import Interactions
from peftrec.data.synthetic.attributes import NUM_VALUES, Attributes

LIFTS = {"kind": 2.0, "colour": 32.0, "pattern": 32.0, "material": 32.0, "use": 32.0}
"""How many times likelier a liked value makes an item. The kind, which both modalities tell, matters least."""

SECONDS_A_DAY = 86_400

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How users of a synthetic catalogue behave."""

    shortest: int
    longest: int
    drift: float
    zipf_exponent: float
    cold_items: npt.NDArray[np.bool_]
    cold_rate: float


def draw_histories(
    generator: np.random.Generator, attributes: Attributes, num_users: int, habits: Habits
) -> Interactions:
    """Draw all users' histories together, oldest step first, a step a day; no user takes an item twice."""
    liked = Attributes.draw(generator, num_users).by_name()
    lengths = generator.integers(habits.shortest, habits.longest + 1, num_users)
    early, late = _popularity(generator, habits)
    users = np.arange(num_users)
    is_taken = np.zeros((num_users, len(attributes)), dtype=bool)
    taken = np.zeros((num_users, habits.longest), dtype=np.int64)
    for step in range(habits.longest):
        is_late = step >= lengths - 2
        weights = np.where(is_late[:, None], late, early) * affinity(liked, attributes)
        weights[is_taken] = 0
        taken[:, step] = _draw_rows(generator, weights)
        is_taken[users, taken[:, step]] = True
        _drift(generator, liked, habits.drift)
    histories = Interactions.from_lists(
        [f"user{user:05d}" for user in users],
        [taken[user, : lengths[user]].tolist() for user in users],
    )
    return replace(histories, times=np.concatenate([np.arange(length) * SECONDS_A_DAY for length in lengths]))


def affinity(liked: dict[str, npt.NDArray[np.int64]], attributes: Attributes) -> Weights:
    """Return users x items: the product of the lifts of all liked attributes."""
    result = np.ones((len(liked["kind"]), len(attributes)))
    for name, values in attributes.by_name().items():
        lift = np.where(np.arange(NUM_VALUES[name])[:, None] == values[None, :], LIFTS[name], 1.0)
        result *= lift[liked[name]]
    return result


def _popularity(generator: np.random.Generator, habits: Habits) -> tuple[Weights, Weights]:
    """Draw Zipf weights in a random order of items: those of early steps, without cold items, and those of the last
    two steps, where cold items have the share `cold_rate`."""
    num_items = len(habits.cold_items)
    ranks = generator.permutation(num_items) + 1
    weights = np.array([float(rank) ** -habits.zipf_exponent for rank in ranks])
    early = np.where(habits.cold_items, 0.0, weights)
    cold = np.where(habits.cold_items, weights, 0.0)
    late = early * ((1 - habits.cold_rate) / early.sum())
    if cold.any():
        late = late + cold * (habits.cold_rate / cold.sum())
    return early, late


def _draw_rows(generator: np.random.Generator, weights: Weights) -> npt.NDArray[np.int64]:
    """Draw one column per row, with the row's weights as probabilities."""
    cumulated = np.cumsum(weights, axis=1)
    thresholds = generator.random(len(weights)) * cumulated[:, -1]
    return np.sum(cumulated <= thresholds[:, None], axis=1)


def _drift(generator: np.random.Generator, liked: dict[str, npt.NDArray[np.int64]], rate: float) -> None:
    """Move one liked value of some users to the next value: what came last says more than what came first."""
    num_users = len(liked["kind"])
    moves = generator.random(num_users) < rate
    attribute = generator.integers(0, len(NUM_VALUES), num_users)
    for index, (name, size) in enumerate(NUM_VALUES.items()):
        is_moved = moves & (attribute == index)
        liked[name] = np.where(is_moved, (liked[name] + 1) % size, liked[name])
