"""The base of everything that a record holds."""

from collections.abc import Iterator
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from peftrec.results.bounds import LARGEST


class RecordPart(BaseModel):
    """Base of every part: unknown keys are refused, so that a record is what the schema says.

    NaN and infinity are refused as well: JSON has neither, and a record that holds one could not be read back.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="after")
    def _has_counts_that_tables_hold(self) -> Self:
        for name, value in self:
            if any(abs(number) >= LARGEST for number in _whole_numbers(value)):
                raise ValueError(f"{name} is beyond any count")
        return self


def _whole_numbers(value: Any) -> Iterator[int]:
    """Yield the whole numbers of a field, and of what it maps to or lists."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _whole_numbers(each)
