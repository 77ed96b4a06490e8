"""Search spaces: what of a strategy's settings is tuned, and between which values. One yaml a strategy, conf/search/;
one a user encoder or objective, conf/search/user_encoder/ and conf/search/objective/, for where these are compared too.

    space:
      learning_rates.introduced: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}
      strategy.rank: {type: int, low: 2, high: 32, log: true}
      strategy.sites: {type: choice, values: [[query, value], [query, key, value]]}
    starts: # settings that are tried first, besides the defaults and the published rates
      published: {strategy.alpha: 1.0}

Numbers are drawn evenly, with `log` evenly on a logarithmic scale.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError, model_validator
from pydantic_core import to_json

from peftrec.config.validation_messages import explain
from peftrec.errors import SettingsError

Values = dict[str, JsonValue]
"""Dotted key of a run's settings to its value."""


class _Dimension(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _Range(_Dimension):
    @model_validator(mode="after")
    def _check_range(self: Any) -> Any:
        if not self.low < self.high:
            raise ValueError(f"low must lie below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic scale needs low above 0, got {self.low:g}")
        return self

    def ends(self: Any) -> tuple[JsonValue, ...]:
        """Return the values between which all others lie."""
        return self.low, self.high

    def place_of(self: Any, value: JsonValue) -> float | None:
        """Return where a value lies, from 0 at the low end to 1 at the high one; None for what is no number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low) if value > 0 else -math.inf
        return float((value - self.low) / (self.high - self.low))


class FloatRange(_Range):
    """A real number."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False


class IntRange(_Range):
    """A whole number."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False


class Choice(_Dimension):
    """One of some values, without an order."""

    type: Literal["choice"]
    values: tuple[JsonValue, ...] = Field(min_length=2)

    def ends(self) -> tuple[JsonValue, ...]:
        """Return all values."""
        return self.values


Dimension = FloatRange | IntRange | Choice
_ADAPTER: TypeAdapter[Dimension] = TypeAdapter(Annotated[Dimension, Field(discriminator="type")])


class Space(BaseModel):
    """What is tuned of one strategy, or of one combination of methods."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimensions: dict[str, Dimension]
    starts: dict[str, Values] = Field(default_factory=dict)
    """Settings that are tried first, by what they are called."""

    def without(self, keys: Mapping[str, object] | set[str]) -> Self:
        """Return the space without what the user has fixed."""
        kept = {key: dimension for key, dimension in self.dimensions.items() if key not in keys}
        starts = {
            name: {key: value for key, value in values.items() if key not in keys}
            for name, values in self.starts.items()
        }
        return self.model_copy(update={"dimensions": kept, "starts": starts})

    def with_starts_of(self, option: str) -> Self:
        """Return the space with the option named in what its starts are called: `published (ligr)`."""
        starts = {f"{name} ({option})": values for name, values in self.starts.items()}
        return self.model_copy(update={"starts": starts})

    def joined(self, other: "Space") -> Self:
        """Return the dimensions and starts of both; a dimension that both have is the other's."""
        return self.model_copy(
            update={
                "dimensions": {**self.dimensions, **other.dimensions},
                "starts": {**self.starts, **other.starts},
            }
        )


def read_space(node: Mapping[str, Any], origin: str) -> Space:
    """Read a space from its yaml; `origin` names the file.

    Raises SettingsError that names file and key.
    """
    if unknown := set(node) - {"space", "starts"}:
        raise SettingsError(f"{origin}: unknown key {sorted(unknown)[0]}; a search space has `space` and `starts`")
    described, starts = node.get("space") or {}, node.get("starts") or {}
    if not isinstance(described, Mapping) or not isinstance(starts, Mapping):
        raise SettingsError(f"{origin}: `space` and `starts` hold one line a key")
    dimensions = {key: _read_dimension(value, f"{origin}: space.{key}") for key, value in described.items()}
    for name, values in starts.items():
        if not isinstance(values, Mapping):
            raise SettingsError(f"{origin}: starts.{name}: expected keys and their values")
    return Space(dimensions=dimensions, starts={name: dict(values) for name, values in starts.items()})


def _read_dimension(value: object, key: str) -> Dimension:
    kinds: dict[str, type[BaseModel]] = {"float": FloatRange, "int": IntRange, "choice": Choice}
    if not isinstance(value, Mapping) or value.get("type") not in kinds:
        raise SettingsError(
            f"{key}: expected {{type: float, low: LOW, high: HIGH, log: true}}, the same with type: int, or "
            "{type: choice, values: [...]}"
        )
    known = kinds[value["type"]].model_fields
    if unknown := [name for name in value if name not in known]:
        raise SettingsError(f"{key}: unknown key {unknown[0]}; a dimension of this type has {', '.join(known)}")
    try:
        return _ADAPTER.validate_json(to_json(dict(value)))
    except ValidationError as error:
        told = explain(error, "").replace(f"{value['type']}.", "").removeprefix(f"{value['type']}: ")
        raise SettingsError(f"{key}: {told}") from error
