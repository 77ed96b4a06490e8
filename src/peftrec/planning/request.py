"""What a plan is asked besides the run's own configuration."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from peftrec.data.choices import LEAST_MINIMUM
from peftrec.errors import SettingsError, nearest_name

UNITS = {
    "B": 1,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")
_SIZE_KEYS = ("users", "items", "interactions")
KEYS = ("memory", "rate", *_SIZE_KEYS)


@dataclass(frozen=True, kw_only=True)
class DataSize:
    """Numbers in place of the data, as they are after the length rules."""

    users: int
    items: int
    interactions: int


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """The plan's own words."""

    memory: int | None = None
    """Bytes that the largest batch must fit in."""
    unit: str = "MiB"
    """In which the amounts beside it are said: that of the question."""
    rate: float | None = None
    """Floating-point operations a second, to turn operations into seconds."""
    size: DataSize | None = None
    """Null reads the data."""

    @classmethod
    def of(cls, own: Mapping[str, str]) -> Self:
        """Read the plan's own words. Raises SettingsError for a value that it cannot read."""
        memory, unit = read_size(own["memory"]) if "memory" in own else (None, cls.unit)
        return cls(
            memory=memory,
            unit=unit,
            rate=_read_rate(own["rate"]) if "rate" in own else None,
            size=_data_size({key: own[key] for key in _SIZE_KEYS if key in own}),
        )


def read_size(text: str) -> tuple[int, str]:
    """Return bytes and the unit from `24GiB`. Raises SettingsError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or found[2] not in UNITS:
        near = None if found is None else nearest_name(found[2], UNITS)
        instead = "for example 24GiB" if found is None or near is None else f"did you mean {found[1]}{near}?"
        raise SettingsError(f"memory={text}: expected a number and a unit of {', '.join(UNITS)}; {instead}")
    return int(float(found[1]) * UNITS[found[2]]), found[2]


def size_text(size: float, unit: str) -> str:
    """Return bytes in a unit, without a fraction where there is none."""
    return f"{size / UNITS[unit]:,.1f}".removesuffix(".0") + f" {unit}"


def _read_rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise SettingsError(f"rate={text}: expected the device's TFLOP/s, a number above 0, for example rate=400")
    return value * 1e12


def _data_size(given: dict[str, str]) -> DataSize | None:
    if not given:
        return None
    if len(given) < len(_SIZE_KEYS):
        lacking = ", ".join(f"{key}=N" for key in _SIZE_KEYS if key not in given)
        raise SettingsError(f"{', '.join(given)}: a data set in numbers needs all three; add {lacking}")
    numbers = {key: _count(key, text) for key, text in given.items()}
    if numbers["interactions"] < LEAST_MINIMUM * numbers["users"]:
        raise SettingsError(
            f"interactions={given['interactions']}: {numbers['users']:,} users have at least {LEAST_MINIMUM} each, "
            f"so give {LEAST_MINIMUM * numbers['users']} or more"
        )
    return DataSize(**numbers)


def _count(key: str, text: str) -> int:
    if not text.isdecimal() or int(text) <= 1:
        raise SettingsError(f"{key}={text}: expected a whole number above 1")
    return int(text)
