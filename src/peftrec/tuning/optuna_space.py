"""A space as Optuna takes it: its distributions, and values, of which it knows no lists."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from peftrec.tuning.spaces import Choice, Dimension, FloatRange, Space, Values

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distributions(space: Space, starts: Sequence[Values]) -> "dict[str, BaseDistribution]":
    """Return the distribution of each tuned key. A choice also has the values of the starts, which may lie outside of
    it; a number that does is used as it is."""
    return {
        key: _distribution(_widened(dimension, [values[key] for values in starts]))
        for key, dimension in space.dimensions.items()
    }


def to_optuna(dimension: Dimension, value: JsonValue) -> Any:
    """Return a value as Optuna takes it."""
    return json.dumps(value) if isinstance(dimension, Choice) else value


def from_optuna(dimension: Dimension, value: Any) -> JsonValue:
    """Return a value that Optuna gave as settings take it."""
    plain: JsonValue = json.loads(value) if isinstance(dimension, Choice) else value
    return plain


@contextmanager
def starts_outside_allowed() -> Iterator[None]:
    """Let a start lie outside the space without a word; Optuna warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _widened(dimension: Dimension, further: Sequence[JsonValue]) -> Dimension:
    if not isinstance(dimension, Choice):
        return dimension
    outside = [value for value in further if value not in dimension.values]
    return dimension.model_copy(update={"values": (*dimension.values, *outside)})


def _distribution(dimension: Dimension) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution([json.dumps(value) for value in dimension.values])
    kind: Any = FloatDistribution if isinstance(dimension, FloatRange) else IntDistribution
    distribution: BaseDistribution = kind(dimension.low, dimension.high, log=dimension.log)
    return distribution
