"""The search space of a strategy for which nobody has written one: its learning rates, and the numbers that its class
declares."""

import annotated_types
from pydantic.fields import FieldInfo

from peftrec.config.fields import fields_of
from peftrec.config.roles import Role
from peftrec.settings.run import Settings
from peftrec.tuning.spaces import Dimension, FloatRange, IntRange, Space

_RATES = {"text": (1e-5, 1e-3), "image": (1e-5, 1e-3), "introduced": (1e-4, 1e-2), "recommender": (1e-4, 1e-2)}
"""Two decades: the best rate of variants of one method lies up to one from another's (arXiv:2602.04998)."""
_FEW_ITEMS, _SHORT = 100, 10
"""Sizes that decide no group."""
_FACTOR = 4
"""Numbers are searched from a fourth of the default to four times it."""
_MOST_OF_A_SHARE = 0.5
"""Of a number that has to stay below 1, as dropout has."""


def default_space(settings: Settings) -> Space:
    """Return the space: rates of the groups that have parameters, and the strategy's numbers around their defaults.

    The model is built without values, to see which groups train. Raises SettingsError where it cannot be built.
    """
    trained = trained_groups(settings)
    groups = trained | {kind for name, kind in settings.towers.readers.items() if name in trained}
    rates: dict[str, Dimension] = {
        f"learning_rates.{group}": FloatRange(type="float", low=low, high=high, log=True)
        for group, (low, high) in _RATES.items()
        if group in groups
    }
    numbers = {
        f"strategy.{name}": dimension
        for name, field in fields_of(type(settings.strategy)).items()
        if (dimension := _around(getattr(settings.strategy, name), field)) is not None
    }
    return Space(dimensions={**rates, **numbers})


def trained_groups(settings: Settings) -> frozenset[str]:
    """Return the optimizer groups that have parameters, of those that every strategy may have."""
    from peftrec.planning.fake_tensors import build_fake_run
    from peftrec.planning.target import find_target

    run = build_fake_run(
        settings,
        find_target(settings),
        num_items=_FEW_ITEMS,
        sequence_length=_SHORT,
        mean_tokens=dict.fromkeys(settings.towers.text_encoders, 1.0),
    )
    return frozenset(role.group for role in run.module.parameter_roles if role.group is not None)


def _around(value: object, field: FieldInfo) -> Dimension | None:
    """Return a range around a number, within the bounds that its field declares; None for what is no number, or decides
    no result."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or any(isinstance(m, Role) for m in field.metadata)
    ):
        return None
    below = [mark.lt for mark in field.metadata if isinstance(mark, annotated_types.Lt)]
    if below == [1]:
        return FloatRange(type="float", low=0.0, high=_MOST_OF_A_SHARE)
    if isinstance(value, int):
        least = [int(str(mark.ge)) for mark in field.metadata if isinstance(mark, annotated_types.Ge)]
        low = max(round(value / _FACTOR), 1, *least)
        return IntRange(type="int", low=low, high=value * _FACTOR, log=True) if value > 0 else None
    return FloatRange(type="float", low=value / _FACTOR, high=value * _FACTOR, log=True) if value > 0 else None
